"""Replay from zero: the services ran again over the whole log, and under a guarantee with an inbox no table has
changed."""

from typing import Final

from verifiers.checker import Finding, merged, not_applicable
from verifiers.recording import Recording
from verifiers.rules import Rule, Subject, breaches

_ROW: Final = Rule("double-effect", "true", "concat(change, ' when the log was processed once more: ', content)")


def replay_changes_no_table(recording: Recording) -> Finding:
    """Processing the whole log once more changes no table."""
    tables = sorted(view.removeprefix("replayed/") for view in recording.views if view.startswith("replayed/"))
    if not tables:
        return not_applicable("the log was not replayed")
    return merged(_changed(recording, table) for table in tables)


def _changed(recording: Recording, table: str) -> Finding:
    recording.need(f"tables/{table}")
    once, again = f'(FROM "tables/{table}")', f'(FROM "replayed/{table}")'
    recording.once(
        f"replay:{table}",
        f"""SELECT 'gone or changed' AS change, t::VARCHAR AS content FROM ({once} EXCEPT ALL {again}) t
            UNION ALL SELECT 'new or changed', t::VARCHAR FROM ({again} EXCEPT ALL {once}) t""",
    )
    entity = f"concat('{table} ', regexp_extract(content, ': ''?([^,}}'']*)', 1))"
    examined = {"rows": recording.number(f'SELECT count(*) FROM "tables/{table}"')}
    return breaches(recording, Subject(f"replay:{table}", entity, "row"), (_ROW,), examined=examined)
