/** What may be asked of captures and traces, and how a mistake is explained. */
import test from "ava";
import { captureRequest, traceRequest } from "../../src/config/requests.js";

const REASONS = ["no_route", "ttl"];

function capture(query: string) {
  const { peer, address, ...rest } = captureRequest(new URLSearchParams(query), REASONS);
  return { peer: peer?.text ?? null, address: address?.text ?? null, ...rest };
}

function trace(query: string) {
  const { source, destination, ...rest } = traceRequest(new URLSearchParams(query));
  return { source: source.text, destination: destination.text, ...rest };
}

test("a capture is of everything, within bounds, unless it is asked for less", (t) => {
  const all = { peer: null, address: null, reason: null, direction: null };
  t.deepEqual(capture(""), { ...all, packets: 10_000, seconds: 60, snaplen: 2048 });
  t.deepEqual(
    capture("peer=192.0.2.2&reason=ttl&direction=rx&packets=1&seconds=86400&snaplen=64&address=10.5.0.0/16"),
    {
      peer: "192.0.2.2",
      address: "10.5.0.0/16",
      reason: "ttl",
      direction: "rx",
      packets: 1,
      seconds: 86400,
      snaplen: 64,
    },
  );
  t.is(capture("address=10.5.7.9/16").address, "10.5.0.0/16", "host bits do not matter");
  t.is(capture("address=FD05::1").address, "fd05::1/128");
  t.is(capture("peer=::ffff:192.0.2.2").peer, "192.0.2.2");
});

test("a trace has an echo request unless told otherwise", (t) => {
  const v4 = { source: "10.5.1.2", destination: "10.5.2.2", size: null };
  t.deepEqual(trace("src=10.5.1.2&dst=10.5.2.2"), { ...v4, protocol: 1, port: 0 });
  t.deepEqual(trace("src=10.5.1.2&dst=10.5.2.2&proto=tcp"), { ...v4, protocol: 6, port: 80 });
  t.deepEqual(trace("src=10.5.1.2&dst=10.5.2.2&proto=17&port=53"), { ...v4, protocol: 17, port: 53 });
  t.deepEqual(trace("src=10.5.1.2&dst=10.5.2.2&proto=132&size=1450"), {
    ...v4,
    protocol: 132,
    port: 0,
    size: 1450,
  });
  t.is(trace("src=fd05::1&dst=fd05::2").protocol, 58);
  t.is(trace("src=fd05::1&dst=fd05::2&proto=icmp").protocol, 58);
});

test("a mistake names the option and says what is expected", (t) => {
  const cases: [ask: (query: string) => unknown, query: string, message: RegExp][] = [
    [capture, "peer=10.5.0.0/16", /^--peer: "10\.5\.0\.0\/16" is not an IPv4 or IPv6 address$/],
    [capture, "address=10.5", /^--address: "10\.5" is not an IPv4 or IPv6 address or prefix$/],
    [capture, "reason=no_rout", /^--reason: there is no drop reason "no_rout" — did you mean no_route\?$/],
    [capture, "reason=x", /^--reason: there is no drop reason "x"; 'weft counters --all' lists them$/],
    [capture, "direction=both", /^--direction: "both" is not tx \(.*\) or rx$/],
    [capture, "packets=0", /^--packets: "0" is not a whole number between 1 and 100000000$/],
    [capture, "seconds=-1", /^--seconds: "-1" is not a whole number/],
    [capture, "snaplen=63", /^--snaplen: "63" is not a whole number between 64 and 65536$/],
    [capture, "color=red", /^--color: not known, or given twice$/],
    [capture, "packets=1&packets=2", /^--packets: not known, or given twice$/],
    [trace, "src=10.5.1.2", /^a source and a destination are needed$/],
    [trace, "src=here&dst=10.5.2.2", /^src: "here" is not an IPv4 or IPv6 address$/],
    [trace, "src=10.5.1.2&dst=fd05::1", /^10\.5\.1\.2 and fd05::1 are not of one address family$/],
    [trace, "src=10.5.1.2&dst=10.5.2.2&proto=tpc", /^proto: "tpc" is not tcp, udp, icmp, /],
    [trace, "src=10.5.1.2&dst=10.5.2.2&proto=256", /^proto: "256" is not /],
    [trace, "src=10.5.1.2&dst=10.5.2.2&proto=toString", /^proto: "toString" is not /],
    [trace, "src=10.5.1.2&dst=10.5.2.2&proto=icmp&port=80", /^port: only tcp and udp have ports$/],
    [
      trace,
      "src=10.5.1.2&dst=10.5.2.2&proto=tcp&port=0",
      /^port: "0" is not a whole number between 1 and 65535$/,
    ],
    [trace, "src=10.5.1.2&dst=10.5.2.2&size=19", /^--size: "19" is not a whole number between 20 and 65535$/],
    [trace, "src=fd05::1&dst=fd05::2&size=39", /^--size: .* between 40 and 65535$/],
  ];
  for (const [ask, query, message] of cases) {
    t.throws(() => ask(query), { name: "ConfigError", message }, query);
  }
});
