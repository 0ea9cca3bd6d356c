/* The inner loops of the columnar Kafka client: a record costs no Python object on its way in or out.
 *
 * A plain shared object: neither Python nor librdkafka is compiled in or linked. The functions of the librdkafka that
 * the process has loaded come by pointer (`struct calls`), and its message is the public rd_kafka_message_t of
 * rdkafka.h, which librdkafka's ABI fixes. system/kafka/kernel.py has the same interface without a compiler.
 *
 * Nothing here locks or keeps state: a client belongs to one thread, and `struct reports` to one producer.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#define KERNEL_INTERFACE 1
#define HEADERS_END (-156) /* RD_KAFKA_RESP_ERR__NOENT */

/* rd_kafka_message_t */
struct message {
    int32_t error;
    void *topic;
    int32_t partition;
    void *value;
    size_t value_size;
    void *key;
    size_t key_size;
    int64_t offset;
    void *opaque;
};
_Static_assert(sizeof(struct message) == 72, "rd_kafka_message_t has 72 bytes on a 64-bit machine");

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

/* The functions of librdkafka that the loops call, in the order of kernel.py. */
struct calls {
    void (*message_destroy)(struct message *);
    int64_t (*message_timestamp)(const struct message *, int32_t *kind);
    int32_t (*message_headers)(const struct message *, void **headers);
    int32_t (*header_get_all)(const void *headers, size_t index, const char **name, const void **value, size_t *size);
    int64_t (*message_latency)(const struct message *);
    void *(*produceva)(void *client, const struct argument *arguments, size_t count);
    int32_t (*error_code)(const void *error);
    void (*error_destroy)(void *error);
    void *(*headers_new)(size_t count);
    int32_t (*header_add)(void *headers, const char *name, ssize_t name_size, const void *value, ssize_t value_size);
    void (*headers_destroy)(void *headers);
};

/* A column of byte strings, Arrow's layout: row i is data[offsets[i] .. offsets[i+1]); nulls may be absent. */
struct bytes {
    uint8_t *data;
    int64_t *offsets;
    uint8_t *nulls;
};

struct headers {
    int64_t *offsets; /* header rows of record i: offsets[i] .. offsets[i+1] */
    struct bytes names;
    struct bytes values;
};

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

/* ---- produce ---------------------------------------------------------------------------------------------------- */

/* One call a record, for what rd_kafka_produce_batch cannot carry. Sets each message's error; stops at the first that
 * equals `stop_at` (a full queue) and returns how many records were tried before it. */
int64_t kernel_produce_each(const struct calls *calls, void *client, struct message *messages, int64_t count,
                            const int64_t *timestamps, const struct headers *headers, int64_t first_row,
                            int32_t flags, int32_t stop_at)
{
    for (int64_t i = 0; i < count; i++) {
        struct message *m = &messages[i];
        int64_t row = first_row + i;
        struct argument arguments[8] = {
            {.kind = ARG_TOPIC, .u.pointer = m->topic},
            {.kind = ARG_PARTITION, .u.i32 = m->partition},
            {.kind = ARG_VALUE, .u.memory = {m->value, m->value_size}},
            {.kind = ARG_KEY, .u.memory = {m->key, m->key_size}},
            {.kind = ARG_OPAQUE, .u.pointer = m->opaque},
            {.kind = ARG_FLAGS, .u.i32 = flags},
        };
        size_t used = 6;
        if (timestamps != NULL)
            arguments[used++] = (struct argument){.kind = ARG_TIMESTAMP, .u.i64 = timestamps[row]};
        void *list = NULL;
        if (headers != NULL && headers->offsets[row + 1] > headers->offsets[row]) {
            list = calls->headers_new((size_t)(headers->offsets[row + 1] - headers->offsets[row]));
            for (int64_t h = headers->offsets[row]; h < headers->offsets[row + 1]; h++) {
                const int64_t *name = headers->names.offsets + h, *value = headers->values.offsets + h;
                int null = headers->values.nulls != NULL && headers->values.nulls[h];
                calls->header_add(list, (const char *)headers->names.data + name[0], name[1] - name[0],
                                  null ? NULL : headers->values.data + value[0], value[1] - value[0]);
            }
            arguments[used++] = (struct argument){.kind = ARG_HEADERS, .u.pointer = list};
        }
        void *error = calls->produceva(client, arguments, used);
        m->error = 0;
        if (error == NULL)
            continue;
        m->error = calls->error_code(error);
        calls->error_destroy(error);
        if (list != NULL)
            calls->headers_destroy(list); /* librdkafka took the list only if it took the record */
        if (m->error == stop_at)
            return i;
    }
    return count;
}

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

/* The delivery report callback (rd_kafka_conf_set_dr_msg_cb), called inside rd_kafka_poll and rd_kafka_flush. */
void kernel_report(void *client, const struct message *m, void *opaque)
{
    struct reports *reports = opaque;
    (void)client;
    reports->heard++;
    reports->heard_bytes += (int64_t)m->value_size;
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
        .offset = m->offset,
        .latency_us = reports->latency(m),
        .topic = m->topic,
        .partition = m->partition,
        .error = m->error,
    };
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

/* The murmur2 of Kafka's Java client (org.apache.kafka.common.utils.Utils), signed bits as unsigned. */
void kernel_murmur2(const uint8_t *data, const int64_t *offsets, int64_t count, uint32_t *out)
{
    const uint32_t m = 0x5bd1e995u;
    for (int64_t i = 0; i < count; i++) {
        const uint8_t *at = data + offsets[i];
        int64_t size = offsets[i + 1] - offsets[i];
        uint32_t hash = 0x9747b28cu ^ (uint32_t)size;
        for (; size >= 4; size -= 4, at += 4) {
            uint32_t word;
            memcpy(&word, at, 4);
            word *= m;
            word ^= word >> 24;
            hash = hash * m ^ word * m;
        }
        switch (size) {
        case 3:
            hash ^= (uint32_t)at[2] << 16; /* fall through */
        case 2:
            hash ^= (uint32_t)at[1] << 8; /* fall through */
        case 1:
            hash = (hash ^ at[0]) * m;
        }
        hash = (hash ^ hash >> 13) * m;
        out[i] = hash ^ hash >> 15;
    }
}
