/**
 * The TUN's configuration and the choice of the underlay on a real kernel, seen by `ip`.
 *
 *   [a] eth0 10.99.0.1/24, fd99::1/64 ──── eth0 [b]
 *    └─ weft0: a TUN that nobody serves
 */
import { totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import test, { type ExecutionContext } from "ava";
import { txQueueLength } from "../../src/linux/link.js";
import { Namespace, connect } from "../support/netns.js";
import type { Task } from "./link-main.js";

const mainFile = fileURLToPath(new URL("link-main.js", import.meta.url));

const dual = {
  do: "configure-tun",
  tun: "weft0",
  mtu: 1450,
  addresses: ["10.5.32.0/32", "fd05:0:0:4e::/128"],
  networks: ["10.5.0.0/16", "fd05::/48"],
} as const satisfies Task;
const v4 = { ...dual, addresses: ["10.5.32.0/32"], networks: ["10.5.0.0/16"] } as const satisfies Task;

async function setUp(t: ExecutionContext): Promise<Namespace> {
  const a = await Namespace.create("a", (cleanup) => t.teardown(cleanup));
  const b = await Namespace.create("b", (cleanup) => t.teardown(cleanup));
  await connect(a, "eth0", b, "eth0", 1500);
  await a.ip("addr add 10.99.0.1/24 dev eth0", "addr add fd99::1/64 dev eth0", "tuntap add weft0 mode tun");
  return a;
}

async function perform(ns: Namespace, task: Task): Promise<{ result: unknown; error: string | null }> {
  const output = await ns.run(process.execPath, [mainFile, JSON.stringify(task)]);
  return JSON.parse(output) as { result: unknown; error: string | null };
}

interface DeviceState {
  readonly flags: readonly string[];
  readonly mtu: number;
  readonly txqlen: number;
  readonly addresses: readonly string[];
  readonly routes: readonly string[];
  readonly acceptLocal: string;
}

/** The state of weft0 as `ip` shows it; routes of the kernel's own left out. */
async function state(ns: Namespace): Promise<DeviceState> {
  const ip = async (...args: readonly string[]) => JSON.parse(await ns.run("ip", ["-j", ...args])) as never;
  const [device] = (await ip("addr", "show", "dev", "weft0")) as [
    { flags: string[]; mtu: number; txqlen: number; addr_info: { local: string; prefixlen: number }[] },
  ];
  const routes: { dst: string; protocol: string; scope?: string }[] = [
    ...((await ip("-N", "route", "show", "dev", "weft0")) as []),
    ...((await ip("-N", "-6", "route", "show", "dev", "weft0")) as []),
  ];
  return {
    flags: device.flags,
    mtu: device.mtu,
    txqlen: device.txqlen,
    addresses: device.addr_info.map(({ local, prefixlen }) => `${local}/${prefixlen}`),
    routes: routes
      .filter(({ protocol }) => protocol !== "2")
      .map(({ dst, protocol, scope }) => `${dst} proto ${protocol} scope ${scope ?? "0"}`),
    acceptLocal: (await ns.run("cat", ["/proc/sys/net/ipv4/conf/weft0/accept_local"])).trim(),
  };
}

test("sets MTU, queue, accept_local, addresses and one route per family, as often as it is asked", async (t) => {
  const ns = await setUp(t);
  for (const time of ["first", "second"]) {
    t.deepEqual(await perform(ns, dual), { result: null, error: null }, `${time} time`);
    const { flags, ...rest } = await state(ns);
    t.true(flags.includes("UP"));
    t.deepEqual(
      rest,
      {
        mtu: 1450,
        txqlen: txQueueLength(totalmem()),
        addresses: ["10.5.32.0/32", "fd05:0:0:4e::/128"], // and no link-local one
        routes: ["10.5.0.0/16 proto 87 scope 253", "fd05::/48 proto 87 scope 0"],
        acceptLocal: "1",
      },
      `${time} time`,
    );
  }
});

test("another subnet, network and MTU take the place of the old ones; foreign routes stay", async (t) => {
  const ns = await setUp(t);
  await perform(ns, dual);
  await ns.ip("route add 10.77.0.0/16 dev weft0 proto static");
  const changed = { ...v4, mtu: 1000, addresses: ["10.6.1.0/32"], networks: ["10.6.0.0/16"] };
  for (const time of ["first", "second"]) {
    t.deepEqual(await perform(ns, changed), { result: null, error: null }, `${time} time`);
    t.like(await state(ns), {
      mtu: 1000,
      addresses: ["10.6.1.0/32"],
      routes: ["10.6.0.0/16 proto 87 scope 253", "10.77.0.0/16 proto 4 scope 253"],
    });
  }
});

test("a network that another device has the route to is refused by that device's name, and nothing is changed", async (t) => {
  const ns = await setUp(t);
  await ns.ip(
    "tuntap add flannel0 mode tun",
    "link set flannel0 up",
    "route add 10.5.0.0/16 dev flannel0 metric 7",
  );
  const before = await state(ns);
  const { error } = await perform(ns, dual);
  t.regex(error ?? "", /^WeftError: 10\.5\.0\.0\/16 is already routed to flannel0/);
  t.deepEqual(await state(ns), before);
});

test("IPv6 on a host that has it disabled is refused in words; IPv4 works there", async (t) => {
  const ns = await setUp(t);
  await ns.sysctl({ "net.ipv6.conf.weft0.disable_ipv6": 1 });
  const { error } = await perform(ns, dual);
  t.regex(error ?? "", /^WeftError: .*IPv6 is disabled on this host/);
  t.deepEqual((await state(ns)).addresses, []);
  t.is((await perform(ns, v4)).error, null);
  t.like(await state(ns), { addresses: ["10.5.32.0/32"], routes: ["10.5.0.0/16 proto 87 scope 253"] });
});

test("says what the kernel refused, and its reason", async (t) => {
  const ns = await setUp(t);
  t.is(
    (await perform(ns, { ...v4, mtu: 20 })).error,
    "NetlinkError: cannot set MTU 20 and queue of weft0: EINVAL: mtu less than device minimum",
  );
  t.is(
    (await perform(ns, { ...dual, mtu: 1279 })).error,
    "WeftError: weft0 would have MTU 1279, and IPv6 needs 1280: raise the underlay's MTU or turn IPv6 off",
  );
  t.is((await perform(ns, { ...dual, tun: "weft1" })).error, "WeftError: the TUN device (index 0) is gone");
});

test("finds the underlay by default route, by the way to an address, by name", async (t) => {
  const ns = await setUp(t);
  const eth0 = { name: "eth0", mtu: 1500, address4: "10.99.0.1", address6: "fd99::1" };
  const { error } = await perform(ns, { do: "choose-underlay" });
  t.regex(error ?? "", /no default route .* --iface: this host has .*eth0 \(10\.99\.0\.1, fd99::1\)/);
  t.deepEqual((await perform(ns, { do: "choose-underlay", iface: ["eth0"] })).result, eth0);
  t.deepEqual((await perform(ns, { do: "choose-underlay", canReach: "fd99::77" })).result, eth0);
  const far = await perform(ns, { do: "choose-underlay", canReach: "8.8.8.8" });
  t.regex(far.error ?? "", /^WeftError: --iface-can-reach: .*ENETUNREACH/);
  const self = await perform(ns, { do: "choose-underlay", canReach: "10.99.0.1" });
  t.regex(self.error ?? "", /is not reached through an interface/);
  await ns.ip("route add default via fd99::2 dev eth0");
  t.deepEqual((await perform(ns, { do: "choose-underlay" })).result, eth0);
  await ns.ip("link set weft0 up", "addr add 10.5.32.0/32 dev weft0", "route add default dev weft0");
  t.deepEqual((await perform(ns, { do: "choose-underlay" })).result, eth0, "not the TUN");
});

test("says for which family the host does not forward, and with which setting it would", async (t) => {
  const ns = await Namespace.create("a", (cleanup) => t.teardown(cleanup));
  const problems = async () => (await perform(ns, { do: "forwarding-problems" })).result;
  await ns.sysctl({ "net.ipv4.ip_forward": 0, "net.ipv6.conf.all.forwarding": 0 });
  t.deepEqual(await problems(), [
    "the host does not forward IPv4: pods are cut off until sysctl net.ipv4.ip_forward=1",
    "the host does not forward IPv6: pods are cut off until sysctl net.ipv6.conf.all.forwarding=1",
  ]);
  await ns.sysctl({ "net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1 });
  t.deepEqual(await problems(), []);
});
