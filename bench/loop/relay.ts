/**
 * The relay in TypeScript: UDP datagrams with inner packets in, VXLAN datagrams out, through node:dgram. The counterpart
 * of forward_loop.c's `relay`.
 *
 *     node relay.js PORT SINK [LEASES]
 *
 * With LEASES, its event loop also does what a daemon's does when a registry lists everything again: once in 1 250
 * packets, it decodes that many leases.
 */
import { createSocket } from "node:dgram";
import { decodeRecord } from "../../src/lease/codec.js";
import { DROPPED, ForwardLoop, OVERHEAD } from "./forward-loop.js";

const SINK_PORT = 8472;
/** What may wait in libuv for the socket; it would take any number and fall behind without end. */
const WAITING_MAX = 512;
/** Used in turn; more than may wait, so that none is written to before it has been sent. */
const HEADERS = 1024;
const PACKETS_PER_LIST = 1250;

const [port = "", sink = "", leases = "0"] = process.argv.slice(2);
const loop = new ForwardLoop();
const headers = new DataView(new ArrayBuffer(HEADERS * OVERHEAD));
const input = createSocket({ type: "udp4", recvBufferSize: 8 << 20 });
const output = createSocket("udp4");
let received = 0;

input.on("message", (packet) => {
  const at = (received++ % HEADERS) * OVERHEAD;
  const forwarded = loop.forward(packet, 0, packet.length, headers, at) !== DROPPED;
  if (forwarded && output.getSendQueueCount() < WAITING_MAX) {
    output.send([new Uint8Array(headers.buffer, at, OVERHEAD), packet]);
  }
  if (received % PACKETS_PER_LIST === 0) decodeLeases(Number(leases));
});

function decodeLeases(count: number): void {
  const data = { VNI: 1, VtepMAC: "02:00:00:00:00:01" };
  const value = JSON.stringify({ PublicIP: "192.0.2.1", BackendType: "vxlan", BackendData: data });
  for (let i = 0; i < count; i++) decodeRecord(`10.${5 + (i >> 8)}.${i & 0xff}.0-24`, value);
}

output.connect(SINK_PORT, sink, () => input.bind(Number(port), () => console.log("ready")));
