/** flannel's network config: its defaults, its rules, and what weft says about the rest. */
import test from "ava";
import { ConfigError } from "../../src/config/errors.js";
import { parseNetworkConfig, type Pool } from "../../src/config/network-config.js";

function config(fields: object) {
  return parseNetworkConfig(JSON.stringify(fields));
}

function shown(pool: Pool | null): string {
  return pool === null
    ? "none"
    : `${pool.network.text} /${pool.subnetLen} ${pool.min.text} to ${pool.max.text}`;
}

test("defaults are flannel's", (t) => {
  const { ipv4, ipv6, backend, warnings } = config({ Network: "10.5.0.0/16" });
  t.is(shown(ipv4), "10.5.0.0/16 /24 10.5.1.0 to 10.5.255.0");
  t.is(ipv6, null);
  t.deepEqual(backend, { type: "udp", port: 8285, vni: null, mtu: null, gbp: false });
  t.deepEqual(warnings, []);
  t.deepEqual(config({ Network: "10.5.0.0/16", Backend: { Type: "VXLAN", Port: 0 } }).backend, {
    type: "vxlan",
    port: 8472,
    vni: 1,
    mtu: null,
    gbp: false,
  });
});

test("the subnet length follows the network's size", (t) => {
  const lengths = ["10.0.0.0/8", "10.5.0.0/22", "10.5.0.0/23", "10.5.0.0/28"].map(
    (Network) => config({ Network }).ipv4?.subnetLen,
  );
  t.deepEqual(lengths, [24, 24, 25, 30]);
  const vxlan = { Network: "10.5.0.0/16", EnableIPv6: true, Backend: { Type: "vxlan" } };
  const lengths6 = ["fd05::/48", "fd05::/62", "fd05::/63", "fd05::/124"].map(
    (IPv6Network) => config({ ...vxlan, IPv6Network }).ipv6?.subnetLen,
  );
  t.deepEqual(lengths6, [64, 64, 65, 126]);
});

test("host bits of the network are dropped, explicit limits are kept", (t) => {
  const limits = { Network: "10.5.7.9/16", SubnetLen: 20, SubnetMin: "10.5.32.0", SubnetMax: "10.5.64.0" };
  t.is(shown(config(limits).ipv4), "10.5.0.0/16 /20 10.5.32.0 to 10.5.64.0");
  const dual = config({
    Network: "10.5.0.0/16",
    EnableIPv6: true,
    IPv6Network: "fd05::/48",
    IPv6SubnetMin: "fd05:0:0:10::",
    Backend: { Type: "vxlan", VNI: 7, Port: 4789, MTU: 1400 },
  });
  t.is(shown(dual.ipv6), "fd05::/48 /64 fd05:0:0:10:: to fd05:0:0:ffff::");
  t.deepEqual(dual.backend, { type: "vxlan", port: 4789, vni: 7, mtu: 1400, gbp: false });
});

test("names match in any case, the last one wins, nulls and unknown fields do not count", (t) => {
  const text =
    '{"network":"10.4.0.0/16","NETWORK":"10.5.0.0/16","subnetLEN":25,"EnableIPv6":null,"Future":1,"backend":{"type":"udp","pOrT":9000}}';
  const { ipv4, backend } = parseNetworkConfig(text);
  t.is(shown(ipv4), "10.5.0.0/16 /25 10.5.0.128 to 10.5.255.128");
  t.is(backend.port, 9000);
});

const base = { Network: "10.5.0.0/16" };
for (const [what, fields, says] of [
  ["no network", {}, /Network is missing/],
  ["a network that is none", { Network: "10.5.0.0" }, /Network "10\.5\.0\.0" is no IPv4 network/],
  ["a network of the wrong family", { Network: "fd05::/48" }, /no IPv4 network/],
  ["a small network", { Network: "10.5.0.0/29" }, /too small: \/28/],
  ["long subnets", { ...base, SubnetLen: 31 }, /SubnetLen 31 does not fit/],
  ["short subnets", { ...base, SubnetLen: 17 }, /SubnetLen 17 does not fit 10\.5\.0\.0\/16: 18 .* to 30/],
  ["a minimum outside", { ...base, SubnetMin: "10.6.0.0" }, /SubnetMin 10\.6\.0\.0 is not inside/],
  [
    "a maximum within a subnet",
    { ...base, SubnetMax: "10.5.1.128" },
    /SubnetMax 10\.5\.1\.128 is not the start/,
  ],
  ["limits the wrong way round", { ...base, SubnetMin: "10.5.9.0", SubnetMax: "10.5.8.0" }, /lies after/],
  ["a number as text", { ...base, SubnetLen: "24" }, /SubnetLen: .*number/],
  ["a backend without type", { ...base, Backend: { Port: 1 } }, /Backend\.Type/],
  [
    "a backend that weft does not speak",
    { ...base, Backend: { Type: "host-gw" } },
    /"host-gw".*"udp" or "vxlan"/,
  ],
  ["a VNI of 25 bits", { ...base, Backend: { Type: "vxlan", VNI: 1 << 24 } }, /VNI 16777216 is out of range/],
  ["a port that is none", { ...base, Backend: { Type: "udp", Port: 65536 } }, /Port 65536 is out of range/],
  ["an MTU that is none", { ...base, Backend: { Type: "udp", MTU: 100 } }, /MTU 100 is out of range/],
  ["no IPv4", { ...base, EnableIPv4: false }, /peers file/],
  ["no IPv6 network", { ...base, EnableIPv6: true, Backend: { Type: "vxlan" } }, /IPv6Network is missing/],
] as const) {
  test(`${what} is refused`, (t) => {
    t.throws(() => config(fields), { instanceOf: ConfigError, message: says });
  });
}

test("text that is no JSON is refused", (t) => {
  t.throws(() => parseNetworkConfig("{"), { instanceOf: ConfigError, message: /^network config: .*JSON/ });
  t.throws(() => parseNetworkConfig("[]"), { instanceOf: ConfigError });
});

test("what is understood and not honoured is a warning", (t) => {
  const vxlan = { Type: "vxlan", DirectRouting: true, GBP: true, Learning: true };
  const { backend, warnings } = config({ ...base, Backend: vxlan });
  t.deepEqual(
    warnings.map((warning) => /(\w+) is set/.exec(warning)?.[1]),
    ["DirectRouting", "Learning"],
  );
  t.true(backend.gbp, "GBP is honoured");
  t.false(config({ ...base, Backend: { Type: "udp", GBP: true } }).backend.gbp, "and belongs to vxlan");
  const udp = config({ ...base, EnableIPv6: true, IPv6Network: "fd05::/48" });
  t.is(udp.ipv6, null);
  t.regex(udp.warnings.join(), /udp format carries IPv4 only/);
});
