/**
 * A member of a cluster is cut off from a quorum that goes on without it: a daemon that uses it goes to another one. Rows
 * C3 to C5 of the fault catalogue.
 *
 *     host1: weftd ──┬── host2: etcd, in use, cut off
 *                    ├── host3: etcd
 *                    └── host4: etcd
 */
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { type Bound, within } from "../support/bounds.js";
import { type Etcd, leaderOf, startCluster } from "../support/etcd.js";
import { PREFIX } from "../support/etcd-nodes.js";
import { Bed, type Host } from "../support/hosts.js";
import { temporaryDirectory, until } from "../support/process.js";
import { Weftd } from "../support/weftd.js";

/** A daemon that uses the member on `host`, and one of the others. */
async function start(t: ExecutionContext, isLeader: boolean) {
  t.timeout(90_000);
  const bed = await Bed.create(t.teardown, { hosts: 4 });
  const hosts = [bed.host(2), bed.host(3), bed.host(4)] as const;
  const place = ({ ns, address }: Host) => ({ netns: ns.name, address });
  const members = await startCluster(t.teardown, [place(hosts[0]), place(hosts[1]), place(hosts[2])]);
  const leader = await leaderOf(members);
  const used = isLeader ? members.indexOf(leader) : members.findIndex((member) => member !== leader);
  const others = members.filter((_member, index) => index !== used);
  const [member, host, [witness]] = [members[used], hosts[used], others];
  if (member === undefined || host === undefined || witness === undefined) throw new Error("three members");
  await witness.put(`${PREFIX}/config`, '{"Network":"10.5.0.0/16"}');
  const endpoints = [member, ...others].map(({ endpoint }) => endpoint).join();
  const directory = join(await temporaryDirectory(t.teardown), "weft");
  const weftd = await Weftd.start(bed.host(1).ns, directory, { args: [`--etcd-endpoints=${endpoints}`] });
  const source = async (): Promise<string> => (await weftd.ask("/status")).registry.source;
  t.is(await source(), member.endpoint);
  return { weftd, source, member, host, witness };
}

/** Waits until the quorum has a leader, and from then on until the daemon has what that wrote. */
async function mustFollow(t: ExecutionContext, weftd: Weftd, witness: Etcd, bound: Bound): Promise<void> {
  const put = (): Promise<true | null> =>
    witness.put(`${PREFIX}/subnets/10.5.200.0-24`, '{"PublicIP":"192.0.2.77","PublicIPv6":null}').then(
      () => true,
      () => null,
    );
  await until("a leader", put, 30_000);
  await within(t, bound, "the change", async () => (await weftd.ask("/status")).peers === 1);
}

for (const role of ["leader", "follower"] as const) {
  test(`C5: a ${role} that is cut off from the other members, not from the daemon, is left within 5 s`, async (t) => {
    const { weftd, source, member, host, witness } = await start(t, role === "leader");
    await host.ns.nft(`table inet cut {
      chain in {
        type filter hook input priority 0;
        tcp dport 2380 drop
        tcp sport 2380 drop
      }
    }`);
    const fault = `the member in use, a ${role}, is cut off from the others by a firewall; from the election on`;
    await mustFollow(t, weftd, witness, { row: "C5", fault, boundMs: 5000 });
    t.not(await source(), member.endpoint);
  });
}

test("C3, C5: a leader whose wire is cut is left within 10 s", async (t) => {
  const { weftd, source, member, host, witness } = await start(t, true);
  await host.ns.ip("link set eth0 down");
  const fault = "the wire of the member in use, the leader, is cut under an idle watch; from the election on";
  await mustFollow(t, weftd, witness, { row: "C3", fault, boundMs: 10_000 });
  t.not(await source(), member.endpoint);
});
