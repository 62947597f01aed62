/** The system calls of the boundary, against real receivers and holders. */
import { closeSync, openSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import load from "../../src/native/load.cjs";
import { Program, temporaryDirectory } from "../support/process.js";

const native = load.loadNative();

/** Perl is in every Debian; Node has no such socket. */
const receiveOne = `
  use Socket; $| = 1;
  socket(my $socket, AF_UNIX, SOCK_DGRAM, 0) or die; bind($socket, pack_sockaddr_un($ARGV[0] =~ s/^@/\\0/r)) or die;
  print "ready\\n"; recv($socket, my $data, 4096, 0); print "got $data\\n";`;

for (const kind of ["file system", "abstract namespace"]) {
  test(`a datagram reaches a socket in the ${kind}`, async (t) => {
    const dir = await temporaryDirectory((cleanup) => t.teardown(cleanup));
    const path = kind === "file system" ? join(dir, "notify") : `@${dir}`;
    const receiver = new Program(["perl", "-e", receiveOne, path], (cleanup) => t.teardown(cleanup));
    await receiver.line(/^ready$/);
    native.sendDatagram(path, Buffer.from("READY=1"), []);
    t.is(await receiver.line(/^got/), "got READY=1");
  });
}

test("a datagram to nobody, to an impossible path, or of the wrong type is an error", async (t) => {
  const dir = await temporaryDirectory((cleanup) => t.teardown(cleanup));
  const data = Buffer.from("READY=1");
  t.like(t.throws(() => native.sendDatagram(join(dir, "nobody"), data, [])), { code: "ENOENT", syscall: "sendmsg" });
  t.throws(() => native.sendDatagram(`@${dir}`, data, []), { code: "ECONNREFUSED" });
  t.throws(() => native.sendDatagram(`/${"x".repeat(108)}`, data, []), { code: "ENAMETOOLONG" });
  t.throws(() => native.sendDatagram("", data, []), { code: "EINVAL" });
  t.throws(() => native.sendDatagram("a\0b", data, []), { code: "ERR_INVALID_ARG_VALUE" });
  t.throws(() => native.sendDatagram(dir, "text" as never, []), { code: "ERR_INVALID_ARG_TYPE" });
});

test("descriptors travel with a datagram, eight at most", async (t) => {
  const dir = await temporaryDirectory((cleanup) => t.teardown(cleanup));
  const path = join(dir, "socket");
  const socket = native.bindDatagram(path);
  t.throws(() => native.bindDatagram(path), { code: "EADDRINUSE" });
  const [one, two] = [openSync("/dev/null", "r"), openSync("/dev/zero", "r")];
  native.sendDatagram(path, Buffer.from("two"), [one, two]);
  native.sendDatagram(path, Buffer.from("none"), []);
  const received = native.receiveDescriptors(socket);
  t.deepEqual(
    received.map((fd) => readlinkSync(`/proc/self/fd/${fd}`)),
    ["/dev/null", "/dev/zero"],
  );
  t.deepEqual(native.receiveDescriptors(socket), []);
  t.throws(() => native.receiveDescriptors(socket), { code: "EAGAIN" });
  t.throws(() => native.sendDatagram(path, Buffer.from("nine"), Array<number>(9).fill(one)), { code: "E2BIG" });
  t.throws(() => native.sendDatagram(path, Buffer.from("bad"), [4000]), { code: "EBADF" });
  for (const fd of [socket, one, two, ...received]) closeSync(fd);
});

test("a lock is held until its descriptor is closed", async (t) => {
  const path = join(await temporaryDirectory((cleanup) => t.teardown(cleanup)), "lock");
  const held = native.lockFile(path);
  const error = t.throws(() => native.lockFile(path), { code: "EAGAIN" });
  t.like(error, { errno: -11, message: "EAGAIN: Resource temporarily unavailable, lock" });
  closeSync(held);
  closeSync(native.lockFile(path));
});

test("a lock of a process that was killed is free", async (t) => {
  const path = join(await temporaryDirectory((cleanup) => t.teardown(cleanup)), "lock");
  const holder = new Program(
    ["flock", "--no-fork", path, "sh", "-c", "echo held; exec sleep 60"],
    (cleanup) => t.teardown(cleanup),
  );
  await holder.line(/^held$/);
  t.throws(() => native.lockFile(path), { code: "EAGAIN" });
  await holder.stop("SIGKILL");
  closeSync(native.lockFile(path));
});

test("a netlink request that is no message is refused before it is sent", (t) => {
  for (const length of [0, 15, 20]) {
    t.like(
      t.throws(() => native.netlink(0, new Uint8Array(length))),
      { code: "EINVAL", syscall: "netlink" },
    );
  }
  const message = new Uint8Array(16);
  message[0] = message.length;
  t.throws(() => native.netlink(99, message), { code: "EPROTONOSUPPORT" });
  t.throws(() => native.netlink("route" as never, message), { message: "A number was expected" });
});
