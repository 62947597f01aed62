/**
 * Real packets, from kernel VXLAN devices and from weft, as they are and with something changed. How they were made
 * says record-captures.ts; the overlay they come from is that of test/support/overlay.ts, seen from host1.
 */
import { readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { ip } from "../support/addresses.js";
import type { Bytes } from "../support/model/bytes.js";
import { headerLength, parseIp } from "../support/model/ip.js";
import { checksumOffset, checksumState, noOffload, type Offload } from "../support/model/transport.js";
import type { Format } from "../support/model/tx.js";
import type { World } from "../support/model/world.js";
import { type Fault, mutations, spoilBytes } from "./faults.js";
import type { Scenario, Step } from "./steps.js";

export interface CaptureFile {
  readonly format: Format;
  readonly mtu: number;
  /** Of host1's daemon. */
  readonly mac4: string;
  readonly mac6: string;
  /** Packets to `weft0`, and UDP payloads from host2, in hex. */
  readonly tx: readonly string[];
  readonly rx: readonly string[];
}

/** Of host2's kernel device. */
export const peerMac = "02:00:00:00:00:02";

const directory = new URL("../../../test/differential/captures/", import.meta.url);

export function captureFile(name: string): URL {
  return new URL(`${name}.json`, directory);
}

/** Scenarios in the world of one of a format's captures, of its packets and changed ones. */
export function captureScenarios(format: Format): fc.Arbitrary<Scenario> {
  const files = readdirSync(directory)
    .map((name) => JSON.parse(readFileSync(new URL(name, directory), "utf8")) as CaptureFile)
    .filter((file) => file.format === format);
  const settings = { format, coalesce: true, coalesceUdp: true };
  return fc.oneof(
    ...files.map((file) =>
      fc.array(stepOf(file), { maxLength: 120, size: "max" }).map((steps): Scenario => {
        return { settings, datagrams: 64, steps: [{ kind: "tables", world: worldOf(file) }, ...steps] };
      }),
    ),
  );
}

function stepOf({ tx, rx }: CaptureFile): fc.Arbitrary<Step> {
  const bytes = (hex: string): Bytes => Uint8Array.from(Buffer.from(hex, "hex"));
  return fc.oneof(
    fc.tuple(fc.constantFrom(...tx.map(bytes)), mutations).map(([packet, faults]) => fromTun(packet, faults)),
    fc
      .tuple(fc.constantFrom(...rx.map(bytes)), mutations, fc.constantFrom(0, 0, 0, 1, 2, 3))
      .map(([datagram, faults, tos]): Step => {
        return {
          kind: "rx",
          source: address("192.0.2.2"),
          data: spoilBytes(datagram, faults),
          groSize: 0,
          tos,
        };
      }),
  );
}

/** tcpdump does not tell what the kernel left undone: the checksum and the size do. */
function fromTun(data: Bytes, faults: readonly Fault[]): Step {
  const packet = parseIp(data);
  const spoilt = spoilBytes(data, faults);
  if (typeof packet === "string" || checksumState(packet) !== "partial") {
    return { kind: "tx", data: spoilt, offload: noOffload };
  }
  const [start, offset] = [headerLength(packet), checksumOffset(packet.protocol) ?? 0];
  const large = data.length > 1400;
  const offload: Offload = {
    gso: large ? (offset === 16 ? "tcp" : "udp") : null,
    mss: large ? 1300 : 0,
    partial: { start, offset },
  };
  return { kind: "tx", data: spoilt, offload };
}

/** Two hosts of the overlay that the tests share, as the first of them sees it. */
export function worldOf({
  format,
  mtu,
  mac4,
  mac6,
}: Pick<CaptureFile, "format" | "mtu" | "mac4" | "mac6">): World {
  return {
    self: {
      vni: 1,
      mtu,
      port: format === "udp" ? 8285 : 8472,
      admit: { external: false, bridged: false, lenient: false, gbp: false },
      source4: address("192.0.2.1"),
      source6: new Uint8Array(16),
      address4: address("10.5.1.0"),
      address6: address("fd05:0:0:1::"),
      gateway4: address("10.5.1.1"),
      gateway6: address("fd05:0:0:1::1"),
      mac4: mac(mac4),
      mac6: mac(mac6),
    },
    peers: [{ address: address("192.0.2.2"), node: 2, mac: mac(peerMac), noEcn: false }],
    routes: [
      { prefix: address("10.5.1.0"), length: 24, to: "local" },
      { prefix: address("fd05:0:0:1::"), length: 64, to: "local" },
      { prefix: address("10.5.2.0"), length: 24, to: 0 },
      { prefix: address("fd05:0:0:2::"), length: 64, to: 0 },
    ],
  };
}

function address(text: string): Bytes {
  return Uint8Array.from(ip(text).bytes);
}

function mac(text: string): Bytes {
  return Uint8Array.from(Buffer.from(text.replaceAll(":", ""), "hex"));
}
