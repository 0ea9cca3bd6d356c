/* Columns to messages, and what became of them. See kernel.h. */

#include "kernel.h"

#define COPY 0x2    /* RD_KAFKA_MSG_F_COPY */
#define BY_KEY (-1) /* RD_KAFKA_PARTITION_UA */
#define STRETCH 1024
#define GROUPS_MAX 256

/* rd_kafka_vu_t: one argument of rd_kafka_produceva */
struct argument {
    int32_t kind;
    union {
        void *pointer;
        int32_t i32;
        int64_t i64;
        struct {
            void *pointer;
            size_t size;
        } memory;
        char padding[64];
    } u;
};
_Static_assert(sizeof(struct argument) == 72, "rd_kafka_vu_t has 72 bytes on a 64-bit machine");

enum { ARG_TOPIC = 2, ARG_PARTITION = 3, ARG_VALUE = 4, ARG_KEY = 5, ARG_OPAQUE = 6, ARG_FLAGS = 7, ARG_TIMESTAMP = 8,
       ARG_HEADERS = 10 };

/* ---- delivery reports -------------------------------------------------------------------------------------------- */

struct report {
    int64_t sequence, offset, latency_us;
    void *topic;
    int32_t partition, error;
};

struct reports {
    struct report *rows;
    int64_t count, capacity;
    int64_t heard, heard_bytes; /* since the producer was made */
    int64_t lost;               /* for want of memory */
    int64_t (*latency)(const struct message *);
};

struct reports *kernel_reports_new(const struct calls *calls)
{
    struct reports *reports = calloc(1, sizeof *reports);
    if (reports != NULL)
        reports->latency = calls->message_latency;
    return reports;
}

void kernel_reports_free(struct reports *reports)
{
    free(reports->rows);
    free(reports);
}

static void write_down(struct reports *reports, const struct message *m, int64_t offset, int64_t latency_us)
{
    if (reports->count == reports->capacity) {
        int64_t capacity = reports->capacity ? reports->capacity * 2 : 4096;
        struct report *rows = realloc(reports->rows, (size_t)capacity * sizeof *rows);
        if (rows == NULL) {
            reports->lost++;
            return;
        }
        reports->rows = rows;
        reports->capacity = capacity;
    }
    reports->rows[reports->count++] = (struct report){
        .sequence = (int64_t)(intptr_t)m->opaque,
        .offset = offset,
        .latency_us = latency_us,
        .topic = m->topic,
        .partition = m->partition,
        .error = m->error,
    };
}

/* The delivery report callback (rd_kafka_conf_set_dr_msg_cb), called inside rd_kafka_poll and rd_kafka_flush. */
void kernel_report(void *client, const struct message *m, void *opaque)
{
    struct reports *reports = opaque;
    (void)client;
    reports->heard++;
    reports->heard_bytes += (int64_t)m->value_size;
    write_down(reports, m, m->offset, reports->latency(m));
}

/* ---- produce ---------------------------------------------------------------------------------------------------- */

/* How many partitions a topic has, as the client itself knows it: it tells its partitioner. 0 = not yet known. */
struct route {
    int32_t partitions;
    int32_t (*partitioner)(const void *, const void *, size_t, int32_t, void *, void *);
};

/* The partitioner of a topic (rd_kafka_topic_conf_set_partitioner_cb): the configured one, overheard. Also called by
 * librdkafka's own thread, for what waited until the topic was known. */
int32_t kernel_partitioner(const void *topic, const void *key, size_t size, int32_t partitions, void *opaque,
                           void *message)
{
    struct route *route = opaque;
    __atomic_store_n(&route->partitions, partitions, __ATOMIC_RELAXED);
    return route->partitioner(topic, key, size, partitions, NULL, message);
}

/* Columns of records for one topic; row 0 has the number `first_sequence`. */
struct outgoing {
    void *topic;
    struct route *route;       /* may be absent: librdkafka asks its partitioner for each record */
    struct bytes keys, values; /* keys.offsets may be absent */
    int32_t *partitions;       /* may be absent: `partition` for all */
    int64_t *timestamps;       /* may be absent */
    struct headers headers;    /* headers.offsets may be absent */
    int64_t first_sequence;
    int32_t partition;
};

struct handed {
    int64_t tried, taken, taken_bytes;
};

static void point(const struct bytes *column, int64_t row, void **data, size_t *size)
{
    int null = column->offsets == NULL || (column->nulls != NULL && column->nulls[row]);
    static uint8_t somewhere; /* an empty row is no null, so it must point to something */
    *data = null ? NULL : column->data == NULL ? &somewhere : column->data + column->offsets[row];
    *size = null ? 0 : (size_t)(column->offsets[row + 1] - column->offsets[row]);
}

static struct message message_of(const struct outgoing *out, int64_t row, int32_t partition)
{
    struct message m = {.topic = out->topic, .partition = partition};
    m.opaque = (void *)(intptr_t)(out->first_sequence + row);
    point(&out->values, row, &m.value, &m.value_size);
    point(&out->keys, row, &m.key, &m.key_size);
    return m;
}

/* Where each row goes, BY_KEY for what librdkafka has to decide: a record without key, one whose topic is not known
 * yet, and the first with a key, so that the partitioner tells when the topic has grown. */
static void choose(const struct outgoing *out, int64_t begin, int64_t count, int32_t *to, int first_asks)
{
    int32_t known = out->route != NULL && out->keys.offsets != NULL
                        ? __atomic_load_n(&out->route->partitions, __ATOMIC_RELAXED) : 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t row = begin + i;
        to[i] = out->partitions != NULL ? out->partitions[row] : out->partition;
        if (to[i] != BY_KEY || known <= 0 || (out->keys.nulls != NULL && out->keys.nulls[row]))
            continue;
        const int64_t *at = out->keys.offsets + row;
        if (!first_asks)
            to[i] = (int32_t)((murmur2(out->keys.data + at[0], at[1] - at[0]) & 0x7fffffff) % (uint32_t)known);
        first_asks = 0;
    }
}

/* Whether rows may be arranged by partition: none is BY_KEY but the first. What librdkafka chooses may be a partition
 * that others have too, and each partition keeps its order. */
static int may_arrange(const int32_t *to, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (to[i] >= GROUPS_MAX - 1 || to[i] < BY_KEY || (i > 0 && to[i] == BY_KEY))
            return 0;
    return 1;
}

/* The messages of a stretch, those of one partition side by side in their order if that may be. */
static void arrange(const struct outgoing *out, int64_t begin, int64_t count, const int32_t *to, struct message *rows)
{
    int64_t place[GROUPS_MAX + 1] = {0};
    if (!may_arrange(to, count)) {
        for (int64_t i = 0; i < count; i++)
            rows[i] = message_of(out, begin + i, to[i]);
        return;
    }
    for (int64_t i = 0; i < count; i++)
        place[to[i] + 2]++;
    for (int group = 1; group <= GROUPS_MAX; group++)
        place[group] += place[group - 1];
    for (int64_t i = 0; i < count; i++)
        rows[place[to[i] + 1]++] = message_of(out, begin + i, to[i]);
}

/* Hands over rows begin to end, a call a partition and stretch: for each record of a call with mixed partitions
 * librdkafka looks its partition up, and one that does not exist leaks. What it refuses is reported here. */
void kernel_produce_batch(const struct calls *calls, const struct outgoing *out, int64_t begin, int64_t end,
                          struct reports *reports, struct handed *handed)
{
    struct message rows[STRETCH];
    int32_t to[STRETCH];
    *handed = (struct handed){.tried = end - begin};
    for (int64_t at = begin; at < end; at += STRETCH) {
        int64_t count = end - at < STRETCH ? end - at : STRETCH, from = 0;
        choose(out, at, count, to, at == begin);
        arrange(out, at, count, to, rows);
        for (int64_t i = 1; i <= count; i++) {
            if (i < count && rows[i].partition == rows[from].partition)
                continue;
            int run = (int)(i - from);
            int taken = calls->produce_batch(out->topic, rows[from].partition, COPY, rows + from, run);
            handed->taken += taken;
            for (; from < i; from++)
                if (taken == run || rows[from].error == 0)
                    handed->taken_bytes += (int64_t)rows[from].value_size;
                else
                    write_down(reports, &rows[from], -1, -1);
        }
    }
}

static void *headers_of(const struct calls *calls, const struct headers *headers, int64_t row)
{
    if (headers->offsets == NULL || headers->offsets[row + 1] == headers->offsets[row])
        return NULL;
    void *list = calls->headers_new((size_t)(headers->offsets[row + 1] - headers->offsets[row]));
    for (int64_t h = headers->offsets[row]; h < headers->offsets[row + 1]; h++) {
        const int64_t *name = headers->names.offsets + h, *value = headers->values.offsets + h;
        int null = headers->values.nulls != NULL && headers->values.nulls[h];
        calls->header_add(list, (const char *)headers->names.data + name[0], name[1] - name[0],
                          null ? NULL : headers->values.data + value[0], value[1] - value[0]);
    }
    return list;
}

static int32_t produced(const struct calls *calls, void *client, const struct message *m, const int64_t *timestamp,
                        void *headers)
{
    struct argument arguments[8] = {
        {.kind = ARG_TOPIC, .u.pointer = m->topic},
        {.kind = ARG_PARTITION, .u.i32 = m->partition},
        {.kind = ARG_VALUE, .u.memory = {m->value, m->value_size}},
        {.kind = ARG_KEY, .u.memory = {m->key, m->key_size}},
        {.kind = ARG_OPAQUE, .u.pointer = m->opaque},
        {.kind = ARG_FLAGS, .u.i32 = COPY},
    };
    size_t used = 6;
    if (timestamp != NULL)
        arguments[used++] = (struct argument){.kind = ARG_TIMESTAMP, .u.i64 = *timestamp};
    if (headers != NULL)
        arguments[used++] = (struct argument){.kind = ARG_HEADERS, .u.pointer = headers};
    void *error = calls->produceva(client, arguments, used);
    if (error == NULL)
        return 0;
    int32_t code = calls->error_code(error);
    calls->error_destroy(error);
    if (headers != NULL)
        calls->headers_destroy(headers); /* librdkafka took the list only if it took the record */
    return code;
}

/* The same, one call a record, for what rd_kafka_produce_batch cannot carry. Stops before the first whose error is
 * `stop_at` (a full queue). */
void kernel_produce_each(void *client, int32_t stop_at, const struct calls *calls, const struct outgoing *out,
                         int64_t begin, int64_t end, struct reports *reports, struct handed *handed)
{
    *handed = (struct handed){0};
    for (int64_t row = begin; row < end; row++, handed->tried++) {
        struct message m = message_of(out, row, out->partitions != NULL ? out->partitions[row] : out->partition);
        const int64_t *timestamp = out->timestamps == NULL ? NULL : out->timestamps + row;
        m.error = produced(calls, client, &m, timestamp, headers_of(calls, &out->headers, row));
        if (m.error == 0) {
            handed->taken++;
            handed->taken_bytes += (int64_t)m.value_size;
        } else if (m.error == stop_at) {
            return;
        } else {
            write_down(reports, &m, -1, -1);
        }
    }
}
