/* The inner loops of the columnar Kafka client: a record costs no Python object on its way in or out.
 *
 * A plain shared object of kernel.c (consume, sums of bytes) and kernel_produce.c: neither Python nor librdkafka is
 * compiled in or linked. The functions of the librdkafka that the process has loaded come by pointer (`struct calls`),
 * and its message is the public rd_kafka_message_t of rdkafka.h, which librdkafka's ABI fixes.
 * system/kafka/portable_kernel.py has the same interface without a compiler.
 *
 * Nothing here locks or keeps state: a client belongs to one thread, and `struct reports` to one producer.
 */

#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#define KERNEL_INTERFACE 2

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

struct argument; /* rd_kafka_vu_t */

/* The functions of librdkafka that the loops call, in the order of native_kernel.py. */
struct calls {
    void (*message_destroy)(struct message *);
    int64_t (*message_timestamp)(const struct message *, int32_t *kind);
    int32_t (*message_headers)(const struct message *, void **headers);
    int32_t (*header_get_all)(const void *headers, size_t index, const char **name, const void **value, size_t *size);
    int64_t (*message_latency)(const struct message *);
    int (*produce_batch)(void *topic, int32_t partition, int flags, struct message *, int count);
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

/* The murmur2 of Kafka's Java client (org.apache.kafka.common.utils.Utils), signed bits as unsigned. */
static inline uint32_t murmur2(const uint8_t *at, int64_t size)
{
    const uint32_t m = 0x5bd1e995u;
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
    return hash ^ hash >> 15;
}
