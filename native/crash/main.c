/*
 * Kills forwarders and counts packets: what one has in its hands when it dies, the next one must take up, once.
 *
 *   crash SEED KILLS udp|vxlan WORKERS keep|back|hang|forget
 *
 * In a network namespace of its own, whose loopback is the underlay, this process is both the pods and the peer:
 *
 *   pods' sockets ──► TUN ──► [ a child with an engine (io/engine.h) ] ──► 127.0.0.2   runs of datagrams, cut by others
 *   pods' sockets ◄── TUN ◄── [ that is killed, and another follows  ] ◄── 127.0.0.1   runs of packets, coalesced
 *
 * It keeps the queues and the journal, as a service manager would, and sends so much that the child always has something
 * in its hands. With `back` it goes on by itself for a while after some of the deaths, like a daemon whose successor is
 * gone; with `hang` it does so before the child is killed, which stands still. `forget` keeps the queues only: then
 * packets must be missing, or the test tests nothing. Each packet has a number in its flow and bytes that follow from it;
 * one that comes late counts as lost, and then as duplicated. Prints one line of JSON.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../core/checksum.h"
#include "../core/vxlan.h"
#include "../io/engine.h"
#include "../io/uapi_compat.h"
#include "../io/worker.h"

enum {
    PORT = 8472,
    VNI = 1,
    MTU = 1400,
    FLOWS = 4,         /* each way */
    WINDOW_MAX = 3000, /* packets under way: more than a worker carries in a turn */
    BURST = 40,
    HEADERS = IPV4_HEADER + UDP_HEADER,
    PAYLOAD_MIN = 12,
    PAYLOAD_MAX = MTU - HEADERS,
    PATIENCE_MS = 3000,
};

#define POD "10.42.1.1"
#define REMOTE "10.42.2.9"
#define HOST "127.0.0.1"
#define PEER "127.0.0.2"

/* One of the two ways. */
struct course {
    int from[FLOWS], to[FLOWS];
    uint32_t sent[FLOWS], next[FLOWS];
    uint64_t outstanding, received, lost, duplicated, corrupt;
    bool inner_out; /* what is received is the inner packet, else what is sent is */
};

static const uint8_t own_mac[MAC_SIZE] = {2, 0, 0, 0, 0, 1},
                     peer_mac[MAC_SIZE] = {2, 0, 0, 0, 0, 2};
static enum format format;
static size_t overhead; /* of the format */
static uint64_t state;

static uint32_t random_below(uint32_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % n;
}

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static struct sockaddr_in address(const char *text, uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, text, &a.sin_addr);
    return a;
}

static int udp_socket(const char *at, uint16_t port, const char *to, uint16_t to_port)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in a = address(at, port), b = address(to == NULL ? "0.0.0.0" : to, to_port);
    int size = 16 << 20;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0 ||
        (to != NULL && connect(fd, (struct sockaddr *)&b, sizeof b) < 0))
        err(1, "socket at %s:%u", at, port);
    return fd;
}

static void command(const char *text)
{
    if (system(text) != 0)
        errx(1, "failed: %s", text);
}

/* --- packets -------------------------------------------------------------------------------------------------- */

static void write_payload(uint8_t *out, uint32_t flow, uint32_t number, size_t len)
{
    put32(out, flow);
    put32(out + 4, number);
    put32(out + 8, (uint32_t)len);
    for (size_t i = PAYLOAD_MIN; i < len; i++)
        out[i] = (uint8_t)(number * 31 + flow + i);
}

static void write_headers(uint8_t *out, uint32_t flow, uint32_t number, size_t payload)
{
    if (format == FORMAT_VXLAN)
        vxlan_write(out, VNI, own_mac, peer_mac, ETHERTYPE_IPV4);
    out += overhead;
    const struct sockaddr_in from = address(REMOTE, 0), to = address(POD, 0);
    size_t len = UDP_HEADER + payload;
    uint8_t *udp = out + IPV4_HEADER;
    memset(out, 0, HEADERS);
    put16(out, 0x4500);
    put16(out + 2, (unsigned)(IPV4_HEADER + len));
    put16(out + 4, number & 0xffff);
    out[8] = 64;
    out[9] = PROTO_UDP;
    memcpy(out + 12, &from.sin_addr, 4);
    memcpy(out + 16, &to.sin_addr, 4);
    put16(out + 10, csum_finish(csum_bytes(out, IPV4_HEADER)));
    put16(udp, 6000);
    put16(udp + 2, 7000 + flow);
    put16(udp + 4, (unsigned)len);
    put16(udp + 6, csum_finish(csum_pseudo(4, out + 12, out + 16, PROTO_UDP, (uint32_t)len) +
                               csum_bytes(udp, len)));
}

/* A forwarded packet of a pod: its hop counted once, its checksums right. */
static bool valid_headers(const uint8_t *p, size_t len)
{
    const uint8_t *udp = p + IPV4_HEADER;
    return len > HEADERS && p[0] == 0x45 && get16(p + 2) == len && p[8] == 63 &&
           csum_finish(csum_bytes(p, IPV4_HEADER)) == 0 && get16(udp + 4) == len - IPV4_HEADER &&
           csum_finish(csum_pseudo(4, p + 12, p + 16, PROTO_UDP, (uint32_t)(len - IPV4_HEADER)) +
                       csum_bytes(udp, len - IPV4_HEADER)) == 0;
}

/* --- traffic -------------------------------------------------------------------------------------------------- */

/* Some packets of one flow, of one size, in one call: a super-packet at the TUN, a run at the socket. */
static void send_burst(struct course *w)
{
    static uint8_t bytes[BURST * (MTU + VXLAN_OVERHEAD)];
    uint8_t control[CMSG_SPACE(sizeof(uint16_t))] __attribute__((aligned(8))) = {0};
    uint32_t flow = random_below(FLOWS), n = random_below(3) == 0 ? 1 : 1 + random_below(BURST);
    size_t payload = PAYLOAD_MIN + random_below(PAYLOAD_MAX - PAYLOAD_MIN + 1);
    size_t headers = w->inner_out ? 0 : overhead + HEADERS, size = headers + payload;
    for (uint32_t i = 0; i < n; i++) {
        write_payload(bytes + i * size + headers, flow, w->sent[flow] + i, payload);
        if (headers > 0)
            write_headers(bytes + i * size, flow, w->sent[flow] + i, payload);
    }
    struct iovec piece = {bytes, n * size};
    struct msghdr m = {.msg_iov = &piece, .msg_iovlen = 1};
    if (n > 1) {
        uint16_t segment = (uint16_t)size;
        m.msg_control = control;
        m.msg_controllen = sizeof control;
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = IPPROTO_UDP;
        c->cmsg_type = UDP_SEGMENT;
        c->cmsg_len = CMSG_LEN(sizeof segment);
        memcpy(CMSG_DATA(c), &segment, sizeof segment);
    }
    if (sendmsg(w->from[flow], &m, 0) < 0) {
        if (errno == EAGAIN || errno == ENOBUFS)
            return;
        err(1, "sendmsg");
    }
    w->sent[flow] += n;
    w->outstanding += n;
}

static void account(struct course *w, const uint8_t *bytes, size_t len)
{
    static uint8_t expected[PAYLOAD_MAX];
    size_t headers = w->inner_out ? overhead + HEADERS : 0, payload = len - headers;
    uint32_t flow = len < headers + PAYLOAD_MIN ? FLOWS : get32(bytes + headers);
    if (flow >= FLOWS || payload > PAYLOAD_MAX ||
        (headers > 0 && !valid_headers(bytes + overhead, len - overhead))) {
        w->corrupt++;
        return;
    }
    uint32_t number = get32(bytes + headers + 4);
    write_payload(expected, flow, number, payload);
    w->corrupt += memcmp(expected, bytes + headers, payload) != 0;
    if (number < w->next[flow]) {
        w->duplicated++;
        return;
    }
    w->lost += number - w->next[flow];
    w->outstanding -= number + 1 - w->next[flow];
    w->next[flow] = number + 1;
    w->received++;
}

static void receive_all(struct course *w)
{
    static uint8_t bytes[65536];
    for (size_t i = 0; i < FLOWS && w->to[i] >= 0; i++)
        for (ssize_t n; (n = recv(w->to[i], bytes, sizeof bytes, 0)) >= 0;)
            account(w, bytes, (size_t)n);
}

/*
 * Keeps about `window` packets under way until `more` have come, or, with 0, none is under way. False: nothing comes any
 * more.
 */
static bool pump(struct course ways[2], uint64_t window, uint64_t more)
{
    uint64_t start = ways[0].received + ways[1].received, seen = start;
    int64_t last = now_us();
    for (;;) {
        for (size_t i = 0; i < 2; i++) {
            receive_all(&ways[i]);
            if (more > 0 && ways[i].outstanding < window)
                send_burst(&ways[i]);
        }
        uint64_t received = ways[0].received + ways[1].received;
        if (more > 0 ? received - start >= more : ways[0].outstanding + ways[1].outstanding == 0)
            return true;
        if (received != seen)
            last = now_us();
        else if (now_us() - last > PATIENCE_MS * 1000)
            return false;
        seen = received;
    }
}

/* --- forwarders ----------------------------------------------------------------------------------------------- */

static void set_tables(struct engine *e)
{
    struct self_row self = {.vni = VNI, .mtu = MTU, .source4 = {127, 0, 0, 1}, .port = PORT};
    struct peer_row peer = {.address = {[10] = 0xff, 0xff, 127, 0, 0, 2}, .node = 2};
    struct route_row routes[2] = {
        {.prefix = {10, 42, 1}, .peer = ROUTE_LOCAL, .family = 4, .length = 24},
        {.prefix = {10, 42, 2}, .peer = 0, .family = 4, .length = 24},
    };
    memcpy(self.mac[0], own_mac, MAC_SIZE);
    memcpy(peer.mac, peer_mac, MAC_SIZE);
    int error =
        engine_replace_tables(e, 1, (const uint8_t *)&self, sizeof self, (const uint8_t *)&peer,
                              sizeof peer, (const uint8_t *)routes, sizeof routes);
    if (error != 0)
        errx(1, "tables: %s", strerror(error));
}

static struct engine *open_engine(unsigned workers, const int adopt[ENGINE_FDS])
{
    struct engine_options o = {.tun = "weft-crash",
                               .format = format,
                               .port = PORT,
                               .underlay4 = true,
                               .tso = true,
                               .uso = true,
                               .gso = true,
                               .gro = true,
                               .workers = workers};
    struct failure failure;
    memcpy(o.adopt, adopt, sizeof o.adopt);
    struct engine *e = engine_open(&o, &failure);
    if (e == NULL)
        errx(1, "%s: %s", failure.call, strerror(failure.error));
    return e;
}

/* Starts a child that forwards; it writes a byte to `ready` once it has taken up what there was. */
static pid_t start_child(unsigned workers, const int adopt[ENGINE_FDS], int ready)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct engine *e = open_engine(workers, adopt);
    set_tables(e);
    /* As in a takeover, and with the watchdog's question meanwhile. */
    int gate[2];
    if (pipe(gate) < 0 || engine_start(e, gate[0]) != 0)
        _exit(1);
    engine_advanced(e);
    sched_yield();
    if (write(gate[1], "", 1) != 1)
        _exit(1);
    while (!engine_advanced(e))
        sched_yield();
    if (write(ready, "", 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

static void stop_child(pid_t pid)
{
    int status;
    kill(pid, SIGSTOP);
    if (waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status))
        errx(1, "the forwarder does not stand still");
}

static void kill_child(pid_t pid)
{
    int status;
    kill(pid, SIGKILL);
    if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status))
        errx(1, "the forwarder ended by itself");
}

/* Returns an engine that keeps everything and forwards nothing yet. */
static struct engine *set_up(struct course ways[2], unsigned workers, int adopt[ENGINE_FDS])
{
    if (unshare(CLONE_NEWNET) < 0)
        err(1, "unshare");
    command("ip link set lo up");
    const int socket_only[ENGINE_FDS] = {-1, udp_socket("0.0.0.0", PORT, NULL, 0), -1, -1};
    struct engine *keeper = open_engine(workers, socket_only);
    set_tables(keeper);
    command("ip link set weft-crash mtu 1400 txqueuelen 20000 up");
    command("ip addr add " POD "/16 dev weft-crash");
    for (size_t i = 0; i < ENGINE_FDS; i++) {
        bool ignored;
        adopt[i] = engine_fd(keeper, (enum engine_fd)i, &ignored);
    }
    int peer = udp_socket(PEER, PORT, NULL, 0), sender = udp_socket(PEER, 0, HOST, PORT);
    for (uint16_t i = 0; i < FLOWS; i++) {
        ways[0].from[i] = udp_socket(POD, 5000 + i, REMOTE, 6000);
        ways[0].to[i] = i == 0 ? peer : -1;
        ways[1].from[i] = sender;
        ways[1].to[i] = udp_socket(POD, 7000 + i, NULL, 0);
    }
    ways[0].inner_out = true;
    return keeper;
}

/* Until some packets have come; how many are under way, and come, is left to chance. False: nothing comes any more. */
static bool pump_some(struct course ways[2])
{
    uint64_t window = 1 + random_below(1 + random_below(WINDOW_MAX));
    return pump(ways, window, 1 + random_below((uint32_t)window));
}

static bool carry_a_while(struct engine *e, struct course ways[2])
{
    if (engine_start(e, -1) != 0)
        errx(1, "the keeper does not start");
    bool flows = pump_some(ways);
    engine_pause(e, NULL);
    return flows;
}

int main(int argc, char **argv)
{
    struct course ways[2] = {0};
    int adopt[ENGINE_FDS], ready[2];
    char byte;
    if (argc != 6)
        errx(2, "usage: crash SEED KILLS udp|vxlan WORKERS keep|back|hang|forget");
    format = strcmp(argv[3], "vxlan") == 0 ? FORMAT_VXLAN : FORMAT_UDP;
    overhead = format == FORMAT_VXLAN ? VXLAN_OVERHEAD : 0;
    state = strtoull(argv[1], NULL, 10);
    unsigned kills = (unsigned)atoi(argv[2]), workers = (unsigned)atoi(argv[4]);
    struct engine *keeper = set_up(ways, workers, adopt);
    bool back = strcmp(argv[5], "back") == 0, hang = strcmp(argv[5], "hang") == 0;
    if (strcmp(argv[5], "forget") == 0)
        adopt[FD_JOURNAL] = -1;
    if (pipe(ready) < 0)
        err(1, "pipe");
    pid_t child = start_child(workers, adopt, ready[1]);
    bool flows = true;
    for (unsigned i = 0; i < kills && flows; i++) {
        flows = read(ready[0], &byte, 1) == 1 && pump_some(ways);
        for (int64_t until = now_us() + random_below(100); now_us() < until;)
            ;
        if (flows && hang) {
            stop_child(child);
            flows = carry_a_while(keeper, ways);
        }
        kill_child(child);
        if (flows && back && random_below(2) == 0)
            flows = carry_a_while(keeper, ways);
        child = start_child(workers, adopt, ready[1]);
    }
    flows = flows && pump(ways, 0, 0);
    kill_child(child);
    uint64_t missing = ways[0].outstanding + ways[1].outstanding;
    printf("{\"kills\":%u,\"received\":%lu,\"lost\":%lu,\"duplicated\":%lu,\"corrupt\":%lu}\n",
           kills, ways[0].received + ways[1].received, ways[0].lost + ways[1].lost + missing,
           ways[0].duplicated + ways[1].duplicated, ways[0].corrupt + ways[1].corrupt);
    return 0;
}
