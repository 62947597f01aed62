/**
 * A tap on a network device: what passes it, with the offload header that the kernel keeps beside a packet, and a way
 * to send any bytes through it, past everything that the kernel's own IP refuses to send. Sent through a TUN device,
 * they are what the device's owner reads; what the owner writes shows as received.
 *
 * Node has no packet sockets, so a few lines of Python hold one.
 */
import type { Namespace } from "./netns.js";
import { checksum, viewOf } from "./packets.js";
import { type Program, until } from "./process.js";

/**
 * Socket option 15 of SOL_PACKET is PACKET_VNET_HDR: each packet has struct virtio_net_hdr in front. Address field 2
 * is the packet type, 4 means outgoing. A device that goes down is an error once, and nothing more.
 */
const SCRIPT = `
import os, select, socket, sys
tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
tap.setsockopt(263, 15, 1)
tap.setsockopt(socket.SOL_SOCKET, 33, 1 << 25)
tap.bind((sys.argv[1], 3))
print("ready", flush=True)
pending = b""
while True:
    readable, _, _ = select.select([tap, 0], [], [])
    try:
        if tap in readable:
            data, address = tap.recvfrom(1 << 17)
            print("out" if address[2] == 4 else "in", data[:10].hex(), data[10:].hex(), flush=True)
    except OSError:
        pass
    if 0 in readable:
        more = os.read(0, 1 << 20)
        if not more:
            break
        *lines, pending = (pending + more).split(b"\\n")
        for line in lines:
            data = bytes.fromhex(line.decode())
            try:
                tap.sendto(data, (sys.argv[1], 0x86dd if data[10] >> 4 == 6 else 0x0800))
                print("sent", flush=True)
            except OSError as error:
                print("refused", error.strerror, flush=True)
`;

/** struct virtio_net_hdr (include/uapi/linux/virtio_net.h) without the fields that are only hints. */
export interface OffloadHeader {
  /** 0: none, 1: TCP over IPv4, 4: TCP over IPv6, 5: UDP. */
  readonly gsoType: number;
  readonly gsoSize: number;
  /** Where the checksum starts to be summed and where behind that it goes; null: it is complete. */
  readonly checksum: { readonly start: number; readonly offset: number } | null;
}

export interface Tapped {
  readonly direction: "in" | "out";
  readonly offload: OffloadHeader;
  /** From the link-layer header on, if the device has one. */
  readonly bytes: Uint8Array;
}

export class Tap {
  readonly #seen: Tapped[] = [];
  #sent = 0;
  #refusal: string | null = null;
  #read = 0;
  private constructor(private readonly program: Program) {}

  static async start(ns: Namespace, device: string): Promise<Tap> {
    const program = ns.start("python3", ["-c", SCRIPT, device]);
    await program.line(/^ready$/);
    return new Tap(program);
  }

  /** Everything that passed so far, in order. */
  seen(): readonly Tapped[] {
    this.#take();
    return this.#seen;
  }

  /** Sends a packet through the device. Rejects when the kernel refuses it. */
  async send(bytes: Uint8Array, offload: OffloadHeader = NO_OFFLOAD): Promise<void> {
    const before = this.#sent;
    this.program.write(packOffload(offload, bytes) + Buffer.from(bytes).toString("hex"));
    await until("a packet sent by the tap", () => {
      this.#take();
      return this.#sent > before ? true : null;
    });
    const refusal = this.#refusal;
    this.#refusal = null;
    if (refusal !== null) throw new Error(`the kernel refuses the packet: ${refusal}`);
  }

  #take(): void {
    const { stdout } = this.program;
    for (; this.#read < stdout.length; this.#read++) {
      const line = stdout[this.#read] ?? "";
      const [word = "", header = "", hex = ""] = line.split(" ");
      if (word === "refused") this.#refusal = line;
      if (word === "sent" || word === "refused") this.#sent++;
      if (word !== "in" && word !== "out") continue;
      const bytes = Buffer.from(hex, "hex");
      this.#seen.push({ direction: word, offload: readOffload(Buffer.from(header, "hex")), bytes });
    }
  }
}

export const NO_OFFLOAD: OffloadHeader = { gsoType: 0, gsoSize: 0, checksum: null };

/** In host byte order, which is little-endian on every machine that runs the tests. */
function packOffload({ gsoType, gsoSize, checksum }: OffloadHeader, bytes: Uint8Array): string {
  const header = Buffer.alloc(10);
  header.writeUInt8(checksum === null ? 0 : 1, 0);
  header.writeUInt8(gsoType, 1);
  header.writeUInt16LE(gsoType === 0 ? 0 : Math.min(bytes.length, 128), 2);
  header.writeUInt16LE(gsoSize, 4);
  header.writeUInt16LE(checksum?.start ?? 0, 6);
  header.writeUInt16LE(checksum?.offset ?? 0, 8);
  return header.toString("hex");
}

function readOffload(header: Buffer): OffloadHeader {
  return {
    gsoType: header.readUInt8(1),
    gsoSize: header.readUInt16LE(4),
    checksum:
      (header.readUInt8(0) & 1) === 0
        ? null
        : { start: header.readUInt16LE(6), offset: header.readUInt16LE(8) },
  };
}

/** The packet as the next device would send it: with its checksum computed where the kernel left that open. */
export function completed({ bytes, offload }: Tapped): Uint8Array {
  if (offload.checksum === null) return bytes;
  const { start, offset } = offload.checksum;
  const copy = Uint8Array.from(bytes);
  const sum = checksum(copy.subarray(start));
  // UDP's checksum stands six bytes into its header, and zero would say that there is none.
  viewOf(copy).setUint16(start + offset, sum === 0 && offset === 6 ? 0xffff : sum);
  return copy;
}
