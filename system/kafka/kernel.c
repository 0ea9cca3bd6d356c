/* Messages to columns, and sums over columns. See kernel.h. */

#include "kernel.h"

int32_t kernel_interface(void) { return KERNEL_INTERFACE; }

/* ---- consume ---------------------------------------------------------------------------------------------------- */

struct sizes {
    int64_t key_bytes, value_bytes, null_keys, null_values;
    int64_t headers, header_name_bytes, header_value_bytes;
    int64_t topics;
};

/* What the columns will need. `topic_of[i]` is the row of message i's topic in `topics`, -1 for an event without. */
void kernel_measure(const struct calls *calls, struct message *const *messages, int64_t count, int32_t with_headers,
                    struct sizes *sizes, int32_t *topic_of, void **topics)
{
    struct sizes sum = {0};
    for (int64_t i = 0; i < count; i++) {
        const struct message *m = messages[i];
        sum.key_bytes += (int64_t)m->key_size;
        sum.value_bytes += (int64_t)m->value_size;
        sum.null_keys += m->key == NULL;
        sum.null_values += m->value == NULL;
        int64_t topic = -1;
        if (m->topic != NULL) {
            topic = i > 0 && topic_of[i - 1] >= 0 && topics[topic_of[i - 1]] == m->topic ? topic_of[i - 1] : 0;
            while (topic < sum.topics && topics[topic] != m->topic)
                topic++;
            if (topic == sum.topics)
                topics[sum.topics++] = m->topic;
        }
        topic_of[i] = (int32_t)topic;
        void *headers;
        if (!with_headers || m->error != 0 || calls->message_headers(m, &headers) != 0)
            continue;
        const char *name;
        const void *value;
        size_t size;
        for (size_t h = 0; calls->header_get_all(headers, h, &name, &value, &size) == 0; h++) {
            sum.headers++;
            sum.header_name_bytes += (int64_t)strlen(name);
            sum.header_value_bytes += (int64_t)size;
        }
    }
    *sizes = sum;
}

static int64_t put(struct bytes *column, int64_t row, int64_t at, const void *data, size_t size)
{
    if (size > 0)
        memcpy(column->data + at, data, size);
    if (column->nulls != NULL)
        column->nulls[row] = data == NULL;
    column->offsets[row + 1] = at + (int64_t)size;
    return at + (int64_t)size;
}

struct columns {
    int32_t *partitions, *errors;
    int64_t *offsets, *timestamps; /* timestamps may be absent */
    struct bytes keys, values;
    struct headers headers; /* headers.offsets may be absent */
};

/* Copies every message into the columns, which have the sizes that were measured, and gives it back to librdkafka. */
void kernel_copy(const struct calls *calls, struct message **messages, int64_t count, struct columns *out)
{
    int64_t key_at = 0, value_at = 0, header = 0, name_at = 0, header_value_at = 0;
    out->keys.offsets[0] = out->values.offsets[0] = 0;
    if (out->headers.offsets != NULL)
        out->headers.offsets[0] = out->headers.names.offsets[0] = out->headers.values.offsets[0] = 0;
    for (int64_t i = 0; i < count; i++) {
        struct message *m = messages[i];
        out->partitions[i] = m->partition;
        out->errors[i] = m->error;
        out->offsets[i] = m->offset;
        if (out->timestamps != NULL) {
            int32_t kind;
            out->timestamps[i] = m->error == 0 ? calls->message_timestamp(m, &kind) : -1;
        }
        key_at = put(&out->keys, i, key_at, m->key, m->key_size);
        value_at = put(&out->values, i, value_at, m->value, m->value_size);
        if (out->headers.offsets != NULL) {
            void *headers;
            const char *name;
            const void *value;
            size_t size;
            if (m->error == 0 && calls->message_headers(m, &headers) == 0)
                for (size_t h = 0; calls->header_get_all(headers, h, &name, &value, &size) == 0; h++, header++) {
                    name_at = put(&out->headers.names, header, name_at, name, strlen(name));
                    header_value_at = put(&out->headers.values, header, header_value_at, value, size);
                }
            out->headers.offsets[i + 1] = header;
        }
        calls->message_destroy(m);
    }
}

void kernel_destroy(const struct calls *calls, struct message **messages, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        calls->message_destroy(messages[i]);
}

/* ---- sums of bytes ---------------------------------------------------------------------------------------------- */

static void crc32_tables(uint32_t tables[8][256])
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
        tables[0][i] = crc;
    }
    for (int table = 1; table < 8; table++)
        for (int i = 0; i < 256; i++)
            tables[table][i] = tables[table - 1][i] >> 8 ^ tables[0][tables[table - 1][i] & 0xff];
}

/* zlib's crc32 of every row, eight bytes a step; an empty row and a null count 0. Little-endian machines only. */
void kernel_crc32(const uint8_t *data, const int64_t *offsets, int64_t count, uint32_t *out)
{
    uint32_t t[8][256];
    crc32_tables(t);
    for (int64_t i = 0; i < count; i++) {
        const uint8_t *at = data + offsets[i], *end = data + offsets[i + 1];
        uint32_t crc = 0xffffffffu;
        for (; end - at >= 8; at += 8) {
            uint64_t word;
            memcpy(&word, at, 8);
            word ^= crc;
            crc = t[7][word & 0xff] ^ t[6][word >> 8 & 0xff] ^ t[5][word >> 16 & 0xff] ^ t[4][word >> 24 & 0xff] ^
                  t[3][word >> 32 & 0xff] ^ t[2][word >> 40 & 0xff] ^ t[1][word >> 48 & 0xff] ^ t[0][word >> 56];
        }
        for (; at < end; at++)
            crc = crc >> 8 ^ t[0][(crc ^ *at) & 0xff];
        out[i] = ~crc;
    }
}

/* As `murmur2`, every row. */
void kernel_murmur2(const uint8_t *data, const int64_t *offsets, int64_t count, uint32_t *out)
{
    for (int64_t i = 0; i < count; i++)
        out[i] = murmur2(data + offsets[i], offsets[i + 1] - offsets[i]);
}
