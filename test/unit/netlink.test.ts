/** What the kernel cannot be made to say on request: a list that changed while it was read. */
import test from "ava";
import { Netlink, NetlinkError } from "../../src/linux/netlink.js";
import { NLM_F_DUMP_INTR, message, u32 } from "../../src/linux/netlink-message.js";
import { RTM_NEWADDR, linkUp } from "../../src/linux/rtnetlink.js";

const NLM_F_MULTI = 0x2;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;

/** A dump of one address, 10.0.0.`last`/24 on link 1. */
function addressDump(last: number, flags: number): Uint8Array[] {
  const body = Uint8Array.of(2, 24, 0, 0, 1, 0, 0, 0, 8, 0, 2, 0, 10, 0, 0, last);
  return [message(RTM_NEWADDR, NLM_F_MULTI | flags, body), message(NLMSG_DONE, NLM_F_MULTI | flags, u32(0))];
}

/** A kernel that gives these answers in this order. */
function answering(...answers: readonly Uint8Array[][]): Netlink {
  const rest = [...answers];
  return new Netlink({ netlink: () => rest.shift() ?? [] });
}

test("a list that changed while it was read is read again", (t) => {
  const netlink = answering(
    addressDump(1, NLM_F_DUMP_INTR),
    addressDump(2, NLM_F_DUMP_INTR),
    addressDump(3, 0),
  );
  t.deepEqual(
    netlink.addresses().map(({ address }) => address.text),
    ["10.0.0.3/24"],
  );
});

test("a list that changes all the time is an error in the end", (t) => {
  const netlink = new Netlink({ netlink: () => addressDump(1, NLM_F_DUMP_INTR) });
  t.throws(() => netlink.addresses(), { message: /^cannot list addresses: .* 10 attempts$/ });
});

test("a refusal names what was attempted and has the shape of Node's errors", (t) => {
  const refusal = message(NLMSG_ERROR, 0, u32(0xffffffef), linkUp(9).subarray(0, 16));
  const error = t.throws(() => answering([refusal]).change("set weft0 up", linkUp(9)), {
    instanceOf: NetlinkError,
  });
  t.like(error, {
    message: "cannot set weft0 up: EEXIST: file already exists",
    code: "EEXIST",
    errno: -17,
    syscall: "netlink",
  });
});

test("a dump that ends in an error is that error", (t) => {
  const failed = message(NLMSG_DONE, NLM_F_MULTI, u32(0xffffffff));
  t.throws(() => answering([failed]).routes(), {
    message: "cannot list routes: EPERM: operation not permitted",
  });
});
