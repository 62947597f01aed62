/** Traffic with the programs everyone trusts: ping, traceroute and iperf3, each bounded in time. */
import type { Namespace } from "./netns.js";

export interface PingOptions {
  readonly count?: number;
  /** Bytes of ICMP data; the packet is 28 (IPv4) or 48 (IPv6) bytes longer. Sent with DF when given. */
  readonly size?: number;
  readonly source?: string;
  /** TOS or traffic class. */
  readonly tos?: number;
}

export interface PingResult {
  readonly sent: number;
  readonly received: number;
  /** Mean round trip in milliseconds; null when nothing came back. */
  readonly meanMs: number | null;
  readonly output: string;
}

export async function ping(ns: Namespace, address: string, options: PingOptions = {}): Promise<PingResult> {
  const { count = 2, size, source, tos } = options;
  // Ping waits one interval for the last answer: enough for a machine that is busy with other tests.
  const args = ["-n", "-c", `${count}`, "-i", "0.3", "-W", "2"];
  if (size !== undefined) args.push("-s", `${size}`, "-M", "do");
  if (source !== undefined) args.push("-I", source);
  if (tos !== undefined) args.push("-Q", `${tos}`);
  const { stdout, stderr } = await ns.tryRun("ping", [...args, address]);
  const output = stdout + stderr;
  const [, sent = "0", received = "0"] = /(\d+) packets transmitted, (\d+) received/.exec(output) ?? [];
  const mean = /= [\d.]+\/([\d.]+)\//.exec(output)?.[1];
  return {
    sent: Number(sent),
    received: Number(received),
    meanMs: mean === undefined ? null : Number(mean),
    output,
  };
}

/** Pings and throws with ping's own words unless every request was answered. */
export async function mustPing(
  ns: Namespace,
  address: string,
  options: PingOptions = {},
): Promise<PingResult> {
  const result = await ping(ns, address, options);
  if (result.sent === 0 || result.received !== result.sent) {
    throw new Error(`ping ${address} from ${ns.name}: ${result.output}`);
  }
  return result;
}

/** The addresses of the hops to `address`, in order; "*" where nobody answered. */
export async function traceroute(ns: Namespace, address: string): Promise<string[]> {
  const stdout = await ns.run("traceroute", ["-n", "-q", "1", "-w", "2", "-m", "8", address]);
  return stdout
    .split("\n")
    .map((line) => /^\s*\d+\s+(\S+)/.exec(line)?.[1])
    .filter((hop) => hop !== undefined);
}

export interface Throughput {
  readonly bitsPerSecond: number;
  readonly retransmits: number;
}

/** How much: for some seconds, or some megabytes. */
export type Amount = { readonly seconds: number } | { readonly megabytes: number };

/** TCP from `client` to `server` (or backwards), as iperf3 measures it at the receiver. */
export async function iperf(
  client: Namespace,
  server: Namespace,
  address: string,
  options: Amount & { readonly reverse?: boolean },
): Promise<Throughput> {
  const port = 5201;
  const listener = server.start("iperf3", ["-s", "-1", "-p", `${port}`, "--forceflush"]);
  await listener.line(/Server listening/);
  const amount = "seconds" in options ? ["-t", `${options.seconds}`] : ["-n", `${options.megabytes}M`];
  const args = ["-c", address, "-p", `${port}`, ...amount, "-J", "--connect-timeout", "5000"];
  if (options.reverse === true) args.push("-R");
  const { code, stdout } = await client.tryRun("iperf3", args, { timeoutMs: 30_000 });
  await listener.stop();
  const report = JSON.parse(stdout === "" ? "{}" : stdout) as {
    error?: string;
    end?: { sum_received?: { bits_per_second: number }; sum_sent?: { retransmits?: number } };
  };
  const received = report.end?.sum_received;
  if (code !== 0 || received === undefined) {
    throw new Error(`iperf3 to ${address} from ${client.name}: ${report.error ?? stdout}`);
  }
  return {
    bitsPerSecond: received.bits_per_second,
    retransmits: report.end?.sum_sent?.retransmits ?? 0,
  };
}
