/** C25: which changes of the network config take effect at once. */
import test from "ava";
import { changeConfig } from "../../src/config/config-change.js";
import { parseNetworkConfig } from "../../src/config/network-config.js";

const BASE = {
  Network: "10.5.0.0/16",
  EnableIPv6: true,
  IPv6Network: "fd05::/48",
  Backend: { Type: "vxlan" } as Record<string, unknown>,
};
const config = (changes: object) => parseNetworkConfig(JSON.stringify({ ...BASE, ...changes }));

test("C25: bounds of new subnets and GBP take effect at once", (t) => {
  const next = config({
    SubnetMin: "10.5.9.0",
    IPv6SubnetMax: "fd05:0:0:99::",
    Backend: { Type: "vxlan", GBP: true },
  });
  t.deepEqual(changeConfig(config({}), next), { config: next, waiting: [] });
});

test("C25: everything else waits for a restart, by its name, and holds back nothing that is safe", (t) => {
  const inForce = config({});
  for (const [changes, waiting] of [
    [{ Network: "10.6.0.0/16" }, ["Network"]],
    [{ SubnetLen: 25 }, ["SubnetLen"]],
    [{ IPv6Network: "fd06::/48" }, ["IPv6Network"]],
    [{ IPv6SubnetLen: 80 }, ["IPv6SubnetLen"]],
    [{ EnableIPv6: false }, ["IPv6Network", "IPv6SubnetLen"]],
    [{ Backend: { Type: "vxlan", VNI: 2 } }, ["Backend.VNI"]],
    [{ Backend: { Type: "vxlan", Port: 4789, MTU: 1400 } }, ["Backend.Port", "Backend.MTU"]],
    [
      { EnableIPv6: false, Backend: { Type: "udp" } },
      ["IPv6Network", "IPv6SubnetLen", "Backend.Type", "Backend.Port", "Backend.VNI"],
    ],
  ] as const) {
    t.deepEqual(changeConfig(inForce, config(changes)), { config: inForce, waiting: [...waiting] });
  }
  const mixed = changeConfig(inForce, config({ Backend: { Type: "vxlan", VNI: 2, GBP: true } }));
  t.is(mixed.config.backend.vni, 1);
  t.true(mixed.config.backend.gbp);
});
