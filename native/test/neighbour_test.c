/* Covers core/neighbour: exact answers to ARP requests and neighbour solicitations, and silence
 * about the rest. */
#include "../core/neighbour.h"

#include "bed.h"

static const uint8_t asker_mac[MAC_SIZE] = {2, 0, 0, 0, 2, 4};

static const uint8_t arp_request[] = {
    0, 1, 8, 0, 6, 4, 0,  1,        /* Ethernet, IPv4, sizes, request */
    2, 0, 0, 0, 2, 4, 10, 42, 2, 0, /* sender */
    0, 0, 0, 0, 0, 0, 10, 42, 1, 0, /* target: this host's .0 */
};

static size_t ask_arp(const uint8_t *request, size_t len, uint8_t *out)
{
    struct self_row self = bed_self();
    uint8_t asker[MAC_SIZE] = {0};
    size_t answered = arp_answer(&self, owned_copy(request, len), len, out, asker);
    if (answered > 0)
        CHECK_BYTES(asker, asker_mac, MAC_SIZE);
    return answered;
}

static void arp_is_answered_exactly(void)
{
    static const uint8_t expected[] = {
        0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 1, 4, 10, 42, 1, 0, 2, 0, 0, 0, 2, 4, 10, 42, 2, 0,
    };
    uint8_t out[NEIGHBOUR_REPLY_MAX];
    CHECK_EQ(ask_arp(arp_request, sizeof arp_request, out), sizeof expected);
    CHECK_BYTES(out, expected, sizeof expected);

    uint8_t padded[46] = {0}; /* the least payload of an Ethernet frame */
    memcpy(padded, arp_request, sizeof arp_request);
    padded[27] = 1; /* the gateway */
    CHECK_EQ(ask_arp(padded, sizeof padded, out), sizeof expected);
    CHECK_EQ(out[17], 1);
}

static void other_arp_is_not_answered(void)
{
    uint8_t out[NEIGHBOUR_REPLY_MAX], request[sizeof arp_request];
    for (size_t len = 0; len < sizeof arp_request; len++)
        CHECK_EQ(ask_arp(arp_request, len, out), 0);
    for (size_t at = 0; at < 8; at++) { /* other hardware, protocol, sizes, operation */
        memcpy(request, arp_request, sizeof request);
        request[at] ^= 3;
        CHECK_EQ(ask_arp(request, sizeof request, out), 0);
    }
    memcpy(request, arp_request, sizeof request);
    request[27] = 2; /* a pod's address: nobody here has its MAC */
    CHECK_EQ(ask_arp(request, sizeof request, out), 0);
    memset(request + 24, 0, 4);
    CHECK_EQ(ask_arp(request, sizeof request, out), 0);
}

/* A solicitation from the peer for `target`, with a source link-layer address option. */
static struct sample solicitation(const char *src, const char *target)
{
    struct sample s = SAMPLE(.src = src, .dst = "ff02::1:ff00:0", .proto = PROTO_ICMPV6, .ttl = 255,
                             .payload = 24);
    uint8_t *ns = s.data + s.upper;
    memset(ns, 0, 32);
    ns[0] = 135;
    parse_address(target, ns + 8);
    ns[24] = ns[25] = 1;
    memcpy(ns + 26, asker_mac, MAC_SIZE);
    seal(&s);
    return s;
}

static size_t ask_ndp_of(struct self_row self, const struct sample *s, uint8_t *out)
{
    struct ip_info ip;
    uint8_t asker[MAC_SIZE] = {0};
    CHECK_EQ(ip_parse(s->data, s->len, &ip), DROP_NONE);
    size_t answered =
        ndp_is(s->data, &ip) ? ndp_answer(&self, s->data, &ip, asker_mac, out, asker) : 0;
    if (answered > 0)
        CHECK_BYTES(asker, asker_mac, MAC_SIZE);
    return answered;
}

static size_t ask_ndp(const struct sample *s, uint8_t *out)
{
    return ask_ndp_of(bed_self(), s, out);
}

static void solicitations_are_answered_exactly(void)
{
    static const char *const targets[] = {"fd00:42:1::", "fd00:42:1::1"};
    for (size_t i = 0; i < 2; i++) {
        uint8_t out[NEIGHBOUR_REPLY_MAX] = {0},
                expected[72] = {0x60, [5] = 32, [6] = 58, [7] = 255};
        struct sample s = solicitation("fe80::2", targets[i]);
        parse_address(targets[i], expected + 8);
        parse_address("fe80::2", expected + 24);
        expected[40] = 136;
        expected[44] = 0xe0;
        parse_address(targets[i], expected + 48);
        memcpy(expected + 64, (const uint8_t[]){2, 1, 2, 0, 0, 0, 1, 6}, 8);
        CHECK_EQ(ask_ndp(&s, out), sizeof expected);
        CHECK(packet_valid(out, sizeof expected, IPV6_HEADER, PROTO_ICMPV6));
        put16(out + 42, 0); /* the checksum, which packet_valid has seen */
        CHECK_BYTES(out, expected, sizeof expected);
    }
}

static void solicitations_without_options_are_answered(void)
{
    uint8_t out[NEIGHBOUR_REPLY_MAX];
    struct sample s = solicitation("fe80::2", "fd00:42:1::");
    s.len -= 8;
    put16(s.data + 4, 24);
    seal(&s);
    CHECK_EQ(ask_ndp(&s, out), 72);
}

static void other_neighbour_discovery_is_not_answered(void)
{
    uint8_t out[NEIGHBOUR_REPLY_MAX];
    struct sample s = solicitation("::", "fd00:42:1::"); /* duplicate address detection */
    CHECK_EQ(ask_ndp(&s, out), 0);
    s = solicitation("fe80::2", "fd00:42:1::7");
    CHECK_EQ(ask_ndp(&s, out), 0);
    s = solicitation("fe80::2", "fd00:42:1::");
    s.data[7] = 254; /* crossed a router */
    CHECK_EQ(ask_ndp(&s, out), 0);
    s = solicitation("fe80::2", "fd00:42:1::");
    s.data[s.upper + 2] ^= 1; /* the checksum */
    CHECK_EQ(ask_ndp(&s, out), 0);
    s = solicitation("fe80::2", "fd00:42:1::");
    s.data[s.upper + 1] = 1; /* a code nobody knows */
    seal(&s);
    CHECK_EQ(ask_ndp(&s, out), 0);
    for (uint8_t type = 0; type < 255; type++) {
        s = solicitation("fe80::2", "fd00:42:1::");
        s.data[s.upper] = type;
        seal(&s);
        CHECK_EQ(ask_ndp(&s, out) > 0, type == 135);
    }
}

static void option_of_length_zero_makes_a_solicitation_invalid(void)
{
    uint8_t out[NEIGHBOUR_REPLY_MAX];
    struct sample s = solicitation("fe80::2", "fd00:42:1::");
    s.data[s.upper + 25] = 0;
    seal(&s);
    CHECK_EQ(ask_ndp(&s, out), 0);
}

static void truncated_solicitations_are_not_answered(void)
{
    uint8_t out[NEIGHBOUR_REPLY_MAX];
    for (size_t len = 0; len < 24; len++) {
        struct sample s = solicitation("fe80::2", "fd00:42:1::");
        s.len = IPV6_HEADER + len;
        s.data = owned_copy(s.data, s.len);
        put16(s.data + 4, (unsigned)len);
        seal(&s);
        CHECK_EQ(ask_ndp(&s, out), 0);
    }
}

static void a_host_without_an_address_does_not_answer_for_zeros(void)
{
    uint8_t out[NEIGHBOUR_REPLY_MAX];
    struct self_row self = bed_self();
    memset(self.address6, 0, 16);
    memset(self.gateway6, 0, 16);
    struct sample s = solicitation("fe80::2", "::");
    CHECK_EQ(ask_ndp_of(self, &s, out), 0);
}

static void neighbour_discovery_is_told_from_other_icmpv6(void)
{
    for (unsigned type = 0; type < 256; type++) {
        struct sample s = solicitation("fe80::2", "fd00:42:1::");
        struct ip_info ip;
        s.data[s.upper] = (uint8_t)type;
        CHECK_EQ(ip_parse(s.data, s.len, &ip), DROP_NONE);
        CHECK_EQ(ndp_is(s.data, &ip), type >= 133 && type <= 137);
    }
}

const struct test neighbour_tests[] = {
    {"ARP requests for our two addresses are answered exactly", arp_is_answered_exactly},
    {"other ARP is not answered", other_arp_is_not_answered},
    {"solicitations for our two addresses are answered exactly",
     solicitations_are_answered_exactly},
    {"solicitations without options are answered", solicitations_without_options_are_answered},
    {"other neighbour discovery is not answered", other_neighbour_discovery_is_not_answered},
    {"an option of length zero makes a solicitation invalid",
     option_of_length_zero_makes_a_solicitation_invalid},
    {"truncated solicitations are not answered", truncated_solicitations_are_not_answered},
    {"a host without an address does not answer for zeros",
     a_host_without_an_address_does_not_answer_for_zeros},
    {"neighbour discovery is told from other ICMPv6",
     neighbour_discovery_is_told_from_other_icmpv6},
    {NULL, NULL},
};
