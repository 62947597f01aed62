/**
 * The relay in TypeScript: UDP datagrams with inner packets in, VXLAN datagrams out, through node:dgram. The counterpart
 * of forward_loop.c's `relay`.
 *
 *     node relay.js PORT SINK [LEASES]
 *
 * With LEASES, its event loop also does what a daemon's does when a registry lists everything again: once in 500
 * packets, it decodes that many leases.
 */
import { createSocket } from "node:dgram";
import { decodeRecord } from "../../src/lease/codec.js";
import { DROPPED, ForwardLoop, OVERHEAD } from "./forward-loop.js";

const SINK_PORT = 8472;
/** A header stays untouched until libuv has sent it, which happens within the call unless the socket is full. */
const HEADERS = 4096;
const PACKETS_PER_LIST = 500;

const [port = "", sink = "", leases = "0"] = process.argv.slice(2);
const loop = new ForwardLoop();
const headers = new DataView(new ArrayBuffer(HEADERS * OVERHEAD));
const input = createSocket({ type: "udp4", recvBufferSize: 8 << 20 });
const output = createSocket("udp4");
let received = 0;

input.on("message", (packet) => {
  const at = (received++ % HEADERS) * OVERHEAD;
  if (loop.forward(packet, 0, packet.length, headers, at) !== DROPPED) {
    output.send([new Uint8Array(headers.buffer, at, OVERHEAD), packet]);
  }
  if (received % PACKETS_PER_LIST === 0) decodeLeases(Number(leases));
});

function decodeLeases(count: number): void {
  const data = { VNI: 1, VtepMAC: "02:00:00:00:00:01" };
  const value = JSON.stringify({ PublicIP: "192.0.2.1", BackendType: "vxlan", BackendData: data });
  for (let i = 0; i < count; i++) decodeRecord(`10.${5 + (i >> 8)}.${i & 0xff}.0-24`, Buffer.from(value));
}

output.connect(SINK_PORT, sink, () => input.bind(Number(port), () => console.log("ready")));
