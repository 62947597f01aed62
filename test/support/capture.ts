/**
 * What really was on the wire: tcpdump on the switch of a bed writes a file, which is then read here and checked
 * datagram by datagram, from the outer IP header to the inner TCP or UDP checksum.
 *
 * Only meaningful on a bed without offloads; with them, unfinished checksums on the wire are correct.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Bed } from "./hosts.js";
import type { Namespace } from "./netns.js";
import { type IpPacket, readPacket, UDP, viewOf } from "./packets.js";
import { type OnCleanup, type Program, temporaryDirectory, until } from "./process.js";

/** A tunnel datagram from the wire, taken apart. */
export interface Encapsulated {
  readonly outer: IpPacket;
  readonly outerLength: number;
  readonly sourcePort: number;
  readonly vni: number | null;
  /** Destination and source MAC of the inner frame; null in udp format. */
  readonly macs: { readonly destination: string; readonly source: string } | null;
  /** Null when the inner frame is not IP (ARP). */
  readonly inner: IpPacket | null;
  /** What is wrong with it; empty when valid. */
  readonly problems: readonly string[];
}

export interface WireRules {
  readonly format: "udp" | "vxlan";
  readonly port: number;
  /** The underlay's. */
  readonly mtu: number;
  /** VTEP MACs by underlay address, for vxlan. */
  readonly macs?: ReadonlyMap<string, string>;
  /** Only datagrams of these senders are looked at; all by default. */
  readonly senders?: readonly string[];
}

export class Capture {
  private constructor(
    private readonly tcpdump: Program,
    private readonly path: string,
  ) {}

  /** Starts to capture what matches `filter` on a device. */
  static async start(ns: Namespace, device: string, filter: string, onCleanup: OnCleanup): Promise<Capture> {
    const path = join(await temporaryDirectory(onCleanup), "capture.pcap");
    // Without --immediate-mode the last packets before the end stay in the kernel.
    const args = [
      "--immediate-mode",
      "-i",
      device,
      "-s",
      "0",
      "-B",
      "65536",
      "-U",
      "-Z",
      "root",
      "-w",
      path,
      filter,
    ];
    const tcpdump = ns.start("tcpdump", args);
    await tcpdump.line(/listening on/);
    return new Capture(tcpdump, path);
  }

  /** Ends the capture as `stopWhole` does and returns the IP packets, without Ethernet header and padding. */
  async stop(count = 0): Promise<Uint8Array[]> {
    return (await this.stopWhole(count)).map((frame) => trimmed(frame.subarray(14)));
  }

  /**
   * Ends the capture and returns what the device carried, in order: frames, or from a TUN device packets. tcpdump may
   * be behind the wire: who knows that `count` of them must have passed says so, and it is waited for them.
   */
  async stopWhole(count = 0): Promise<Uint8Array[]> {
    const captured = async (): Promise<Uint8Array[]> => Array.from(frames(await readFile(this.path)));
    await until(
      `${count} packets captured`,
      async () => count === 0 || (await captured()).length >= count || null,
    );
    await this.tcpdump.stop("SIGINT");
    return captured();
  }
}

/** Starts to capture every datagram that passes a bed's switch. */
export function captureWire(bed: Bed, onCleanup: OnCleanup): Promise<Capture> {
  return Capture.start(bed.wire, "br0", "udp or ip6 proto 44", onCleanup);
}

/** Picks the tunnel's datagrams out of what was captured, and takes them apart. */
export function tunnelDatagrams(packets: readonly Uint8Array[], rules: WireRules): Encapsulated[] {
  return packets.map((packet) => inspect(packet, rules)).filter((found) => found !== null);
}

/** The Ethernet frames of a capture file in tcpdump's classic format, little-endian with microseconds. */
function* frames(file: Uint8Array): Generator<Uint8Array> {
  const view = viewOf(file);
  if (file.length === 0) return; // nothing written yet
  if (view.getUint32(0, true) !== 0xa1b2c3d4) throw new Error("not a little-endian pcap file");
  for (let at = 24; at + 16 <= file.length;) {
    const length = view.getUint32(at + 8, true);
    yield file.subarray(at + 16, at + 16 + length);
    at += 16 + length;
  }
}

/** Null when the packet is not a datagram to the tunnel's port from one of the senders. */
function inspect(datagram: Uint8Array, rules: WireRules): Encapsulated | null {
  const outer = readPacket(datagram);
  const { payload: segment } = outer;
  if (outer.protocol !== UDP || (!outer.fragment && viewOf(segment).getUint16(2) !== rules.port)) return null;
  if (rules.senders?.includes(outer.source) === false) return null;

  const problems = outer.problems.map((problem) => `outer ${problem}`);
  if (outer.fragment) problems.push("outer fragment");
  if (!outer.df) problems.push("outer DF is clear");
  if (datagram.length > rules.mtu) problems.push(`${datagram.length} bytes exceed the MTU of ${rules.mtu}`);
  if (outer.source.includes(":") && viewOf(segment).getUint16(6) === 0) problems.push("no outer checksum");

  const data = segment.subarray(8);
  const vxlan = rules.format === "vxlan" ? readVxlan(data) : null;
  if (vxlan !== null && viewOf(data).getUint32(0) !== 0x08000000) problems.push("VXLAN flags");
  if (vxlan !== null && (data[7] ?? 1) !== 0) problems.push("VXLAN reserved byte");
  for (const [end, address] of [
    ["source", outer.source],
    ["destination", outer.destination],
  ] as const) {
    const known = rules.macs?.get(address);
    if (vxlan !== null && known !== undefined && vxlan.macs[end] !== known) {
      problems.push(`inner ${end} MAC ${vxlan.macs[end]}, ${known} expected`);
    }
  }
  const packet = vxlan === null ? data : vxlan.packet;
  const inner = packet === null ? null : readPacket(packet);
  problems.push(...(inner?.problems ?? []).map((problem) => `inner ${problem}`));
  return {
    outer,
    outerLength: datagram.length,
    sourcePort: viewOf(segment).getUint16(0),
    vni: vxlan?.vni ?? null,
    macs: vxlan?.macs ?? null,
    inner,
    problems,
  };
}

/** Cuts Ethernet padding off. */
function trimmed(packet: Uint8Array): Uint8Array {
  const v4 = (packet[0] ?? 0) >> 4 === 4;
  return packet.subarray(0, v4 ? viewOf(packet).getUint16(2) : 40 + viewOf(packet).getUint16(4));
}

function readVxlan(data: Uint8Array): {
  readonly vni: number;
  readonly macs: { readonly destination: string; readonly source: string };
  readonly packet: Uint8Array | null;
} {
  const mac = (at: number): string =>
    Buffer.from(data.subarray(at, at + 6))
      .toString("hex")
      .replace(/..(?=.)/g, "$&:");
  const ethertype = viewOf(data).getUint16(20);
  return {
    vni: viewOf(data).getUint32(4) >>> 8,
    macs: { destination: mac(8), source: mac(14) },
    packet: ethertype === 0x0800 || ethertype === 0x86dd ? data.subarray(22) : null,
  };
}
