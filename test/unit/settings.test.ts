import test from "ava";
import { type NetworkConfig, parseNetworkConfig } from "../../src/config/network-config.js";
import { checkSeparation, flagsWithoutEffect, hostSettings } from "../../src/settings.js";
import { ip } from "../support/addresses.js";

const config = (backend: object): NetworkConfig =>
  parseNetworkConfig(JSON.stringify({ Network: "10.5.0.0/16", Backend: backend }));
const udp = config({ Type: "udp" });
const vxlan = config({ Type: "vxlan", VNI: 7, Port: 4789, GBP: true });
const underlay = { name: "eth0", address4: ip("192.0.2.1"), address6: null };

test("no address of the underlay lies inside of the overlay", (t) => {
  const alias = (address: string) => [{ address: ip(address), publicAddress: ip("192.0.2.2") }];
  t.notThrows(() => checkSeparation(udp, underlay, alias("192.0.2.3")));
  t.throws(() => checkSeparation(udp, { ...underlay, address4: ip("10.5.9.9") }, []), {
    message: /^the overlay's network 10\.5\.0\.0\/16 contains the address 10\.5\.9\.9 of eth0/,
  });
  t.throws(() => checkSeparation(udp, underlay, alias("10.5.9.9")), {
    message: "--peer-alias: 10.5.9.9 lies inside the overlay 10.5.0.0/16",
  });
});

test("flags about VXLAN are one warning in the udp format", (t) => {
  const both = { acceptBridged: true, lenientVxlan: true };
  t.deepEqual(flagsWithoutEffect(both, udp), [
    "without effect in the udp format: --accept-bridged, --lenient-vxlan",
  ]);
  t.deepEqual(flagsWithoutEffect({ ...both, acceptBridged: false }, udp), [
    "without effect in the udp format: --lenient-vxlan",
  ]);
  t.deepEqual(flagsWithoutEffect({ acceptBridged: false, lenientVxlan: false }, udp), []);
  t.deepEqual(flagsWithoutEffect(both, vxlan), []);
});

test("each flag has its place in the tables, and GBP comes from the network config", (t) => {
  const strict = { acceptExternal: false, acceptBridged: false, lenientVxlan: false, peerAliases: [] };
  const admit = (flags: Partial<typeof strict>, of = udp) =>
    hostSettings({ ...strict, ...flags }, of, underlay).admit;
  const none = { external: false, bridged: false, lenient: false, gbp: false };
  t.deepEqual(admit({}), none);
  t.deepEqual(admit({ acceptExternal: true }), { ...none, external: true });
  t.deepEqual(admit({ acceptBridged: true }), { ...none, bridged: true });
  t.deepEqual(admit({ lenientVxlan: true }), { ...none, lenient: true });
  t.deepEqual(admit({}, vxlan), { ...none, gbp: true });
  t.like(hostSettings(strict, vxlan, underlay), { vni: 7, port: 4789, source4: underlay.address4 });
});
