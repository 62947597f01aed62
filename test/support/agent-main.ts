/**
 * The program that a test runs inside a namespace to be a peer there: sockets told what to do by lines of JSON on
 * standard input, `{id, op, …}`, each answered by one line `{id, result}` or `{id, error, ms}` on standard output.
 * `agent.ts` is the other end and documents the operations.
 */
import { createHash, randomBytes } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { createServer, createConnection } from "node:net";
import { createInterface } from "node:readline";
import type { Datagram, Operations, StreamReport } from "./agent.js";

type Handlers = {
  readonly [Op in keyof Operations]: (
    request: Operations[Op]["request"],
  ) => Promise<Operations[Op]["result"]> | Operations[Op]["result"];
};

let socket: Socket | null = null;
let taken: Datagram[] = [];
/** Of what the one connection of `tcp-take` brings. */
let digest: Promise<string> | null = null;
let stream: { readonly stop: () => number } | null = null;
const seen = new Set<number>();
/** Nothing else refers to a raw socket that waits to send, not even the event loop: it would be collected. */
const rawSockets = new Set<object>();
/** Linux's number (include/uapi/linux/in6.h), for which the package has no name. */
const IPV6_HDRINCL = 36;
let report: StreamReport = { received: 0, duplicates: 0, reordered: 0 };

const handlers: Handlers = {
  "tcp-listen": ({ address, port }) =>
    new Promise((resolve, reject) => {
      const server = createServer((connection) => {
        connection.on("error", () => undefined);
        // A socket that listens on :: sees IPv4 addresses in IPv6's clothes.
        connection.end((connection.remoteAddress ?? "nobody").replace(/^::ffff:/, ""));
      });
      server.once("error", reject);
      server.listen(port, address, () => resolve(null));
    }),
  "tcp-ask": ({ address, port }) =>
    new Promise((resolve, reject) => {
      const connection = createConnection({ host: address, port, timeout: 8000 });
      let said = "";
      connection.on("data", (data) => (said += data.toString()));
      connection.on("end", () => resolve(said));
      connection.on("timeout", () => connection.destroy(new Error("ETIMEDOUT")));
      connection.on("error", reject);
    }),
  "tcp-take": ({ address, port }) =>
    new Promise((resolve, reject) => {
      const hash = createHash("sha256");
      const server = createServer((connection) => {
        connection.on("data", (data) => hash.update(data));
        digest = new Promise((done, failed) => {
          connection.on("end", () => done(hash.digest("hex")));
          connection.on("error", failed);
        });
        // Who asks hears of it; until then it is no unhandled rejection.
        digest.catch(() => undefined);
      });
      server.once("error", reject);
      server.listen(port, address, () => resolve(null));
    }),
  "tcp-taken": () => {
    if (digest === null) throw new Error("nobody connected");
    return digest;
  },
  "tcp-pour": ({ address, port, bytes }) =>
    new Promise((resolve, reject) => {
      const data = randomBytes(bytes);
      const connection = createConnection({ host: address, port, timeout: 8000 });
      connection.on("timeout", () => connection.destroy(new Error("ETIMEDOUT")));
      connection.on("error", reject);
      connection.end(data, () => resolve(createHash("sha256").update(data).digest("hex")));
    }),
  "udp-open": ({ address, port }) =>
    new Promise((resolve, reject) => {
      const opened = createSocket(address.includes(":") ? "udp6" : "udp4");
      opened.once("error", reject);
      opened.on("message", (data, from) =>
        taken.push({ hex: data.toString("hex"), address: from.address, port: from.port }),
      );
      opened.bind(port, address, () => {
        socket = opened;
        resolve(null);
      });
    }),
  "udp-close": () =>
    new Promise((resolve) => {
      if (socket === null) throw new Error("udp-open first");
      socket.close(() => resolve(null));
      socket = null;
    }),
  "udp-send": ({ hex, address, port }) =>
    new Promise((resolve, reject) => {
      if (socket === null) throw new Error("udp-open first");
      socket.send(Buffer.from(hex, "hex"), port, address, (error) => {
        if (error === null) resolve(null);
        else reject(error);
      });
    }),
  "udp-take": () => {
    const all = taken;
    taken = [];
    return all;
  },
  "raw-send": async ({ hex, address }) => {
    // An optional dependency: only tests that need it fail where it does not build.
    const { default: raw } = await import("raw-socket");
    const bytes = Buffer.from(hex, "hex");
    const v6 = address.includes(":");
    const addressFamily = v6 ? raw.AddressFamily.IPv6 : raw.AddressFamily.IPv4;
    const sender = raw.createSocket({ protocol: raw.Protocol.UDP, addressFamily });
    rawSockets.add(sender);
    if (v6) sender.setOption(raw.SocketLevel.IPPROTO_IPV6, IPV6_HDRINCL, 1);
    else sender.setOption(raw.SocketLevel.IPPROTO_IP, raw.SocketOption.IP_HDRINCL, 1);
    return new Promise((resolve, reject) => {
      sender.send(bytes, 0, bytes.length, address, (error) => {
        sender.close();
        rawSockets.delete(sender);
        if (error === null) resolve(null);
        else reject(error);
      });
    });
  },
  "stream-receive": ({ address, port }) =>
    new Promise((resolve, reject) => {
      const receiver = createSocket({
        type: address.includes(":") ? "udp6" : "udp4",
        recvBufferSize: 4 << 20,
      });
      let highest = -1;
      receiver.once("error", reject);
      receiver.on("message", (data) => {
        const n = data.readUInt32BE(0);
        const again = seen.has(n);
        seen.add(n);
        report = {
          received: seen.size,
          duplicates: report.duplicates + (again ? 1 : 0),
          reordered: report.reordered + (!again && n < highest ? 1 : 0),
        };
        highest = Math.max(highest, n);
      });
      receiver.bind(port, address, () => resolve(null));
    }),
  "stream-report": () => report,
  "stream-send": ({ address, port, perSecond, size }) => {
    const sender = createSocket(address.includes(":") ? "udp6" : "udp4");
    const data = Buffer.alloc(size);
    const begin = performance.now();
    let sent = 0;
    sender.on("error", () => undefined);
    const timer = setInterval(() => {
      for (const due = ((performance.now() - begin) * perSecond) / 1000; sent < due; sent++) {
        data.writeUInt32BE(sent, 0);
        sender.send(Buffer.from(data), port, address);
      }
    }, 5);
    stream = {
      stop: () => {
        clearInterval(timer);
        return sent;
      },
    };
    return null;
  },
  "stream-stop": () => {
    const sent = stream?.stop() ?? 0;
    stream = null;
    return sent;
  },
};

createInterface(process.stdin)
  .on("line", (line) => void answer(line))
  .on("close", () => process.exit());
process.stdout.write("ready\n");

async function answer(line: string): Promise<void> {
  const request = JSON.parse(line) as { id: number; op: keyof Operations };
  const handler = handlers[request.op] as (request: unknown) => unknown;
  const begin = performance.now();
  try {
    say({ id: request.id, result: await handler(request) });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    say({ id: request.id, error: code ?? message, ms: performance.now() - begin });
  }
}

function say(message: object): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}
