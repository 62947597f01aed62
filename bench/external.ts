/**
 * A daemon that is not known here, as a subject: a script starts and stops it, on one host at a time. It is run in the
 * host's network namespace as `SCRIPT start` and, at the end, `SCRIPT stop`, with these variables:
 *
 *     BENCH_HOST          1 or 2
 *     BENCH_DIRECTORY     a directory of this host's own, removed at the end
 *     BENCH_INTERFACE     the interface to the other host, BENCH_MTU its MTU
 *     BENCH_ADDRESS       the host's address on it, BENCH_PEER_ADDRESS the other's
 *     BENCH_NETWORK       the network of all pods, such as 10.5.0.0/16
 *     BENCH_SUBNET        the subnet of this host's pod, BENCH_PEER_SUBNET of the other's
 *
 * `start` leaves the daemon running in the background, with its output elsewhere, returns when packets for
 * BENCH_PEER_SUBNET can be routed (it makes device and route, unless the daemon does), and prints the MTU that pods
 * must have. Host 1 is started first; what it starts (an etcd, say) can be reached from host 2 at BENCH_PEER_ADDRESS.
 */
import { resolve } from "node:path";
import { temporaryDirectory } from "../test/support/process.js";
import type { Bed, Ends } from "./bed.js";
import type { Subject } from "./subjects.js";

/** `definition`: NAME=SCRIPT. Null when it is not. */
export function externalSubject(definition: string): Subject | null {
  const [, name, script] = /^([\w.-]+)=(.+)$/.exec(definition) ?? [];
  if (name === undefined || script === undefined) return null;
  return { name, title: name, start: (bed) => startExternal(bed, resolve(script)) };
}

async function startExternal(bed: Bed, script: string): Promise<Ends> {
  const mtus: number[] = [];
  for (const [own, peer] of bed.pairs) {
    const env = {
      ...process.env,
      BENCH_HOST: `${own.index}`,
      BENCH_DIRECTORY: await temporaryDirectory(bed.onCleanup),
      BENCH_INTERFACE: "eth0",
      BENCH_MTU: `${bed.setting.mtu}`,
      BENCH_ADDRESS: own.address,
      BENCH_PEER_ADDRESS: peer.address,
      BENCH_NETWORK: "10.5.0.0/16",
      BENCH_SUBNET: own.subnet,
      BENCH_PEER_SUBNET: peer.subnet,
    };
    bed.onCleanup(async () => {
      await own.ns.run(script, ["stop"], { env });
    });
    const output = await own.ns.run(script, ["start"], { env });
    const mtu = /^\s*(\d+)\s*$/.exec(output)?.[1];
    if (mtu === undefined)
      throw new Error(`${script} start must print the pods' MTU, not ${JSON.stringify(output)}`);
    mtus.push(Number(mtu));
  }
  return bed.addPods(Math.min(...mtus));
}
