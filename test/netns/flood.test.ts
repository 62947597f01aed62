/**
 * Floods. Strangers who send five times as much as a legitimate flow take less than a tenth of it; a peer that sends
 * as much as it can does not keep a route from being applied.
 *
 *     pod 10.5.1.2 ─ cni0 ─ host1: weftd ── wire ── host2: a peer that sends · host3: strangers, later a peer
 */
import test from "ava";
import { Agent } from "../support/agent.js";
import { underStrangers, startFloodBed } from "../support/flood.js";
import { until } from "../support/process.js";

test.serial("strangers at five times a legitimate flow take less than a tenth of it", async (t) => {
  const bed = await startFloodBed(t.teardown, "vxlan");
  const { perSecond, sent, arrived } = await underStrangers(bed, { searchMs: 300, floodMs: 1000 });
  t.log(`${perSecond} a second without loss; of ${sent} at a fifth of that, ${arrived} arrived`);
  t.true(sent > 1000);
  t.true(arrived >= 0.9 * sent, `${arrived} of ${sent}`);
});

test.serial("a route is applied while a peer sends as much as it can", async (t) => {
  const bed = await startFloodBed(t.teardown, "udp");
  const { overlay, weft, hosts, port } = bed;
  const third = await Agent.start(hosts[2].ns);
  await third.do("udp-open", { address: hosts[2].address, port });
  const sender = await Agent.start(weft.pod.ns);
  await sender.do("udp-open", { address: weft.pod.address, port: 4000 });

  const received = (): Promise<number> => weft.weftd.counter("rx", "packets");
  const flood = bed.pacer.start(hosts[1].ns, bed.flow({ perSecond: 0, milliseconds: 20_000 }));
  const onTheWay = async (): Promise<void> => {
    const before = await received();
    await until("the flood", async () => ((await received()) > before + 1000 ? true : null));
  };
  await onTheWay();
  await overlay.addToFile(hosts[2]);
  await until("the route", async () =>
    (await weft.weftd.ask("/routes")).some(({ via }) => via === hosts[2].address) ? true : null,
  );
  await sender.do("udp-send", { hex: "abcd", address: "10.5.3.9", port: 5000 });
  t.regex((await third.datagram()).hex, /abcd$/);
  await onTheWay();
  await flood.stop();
});
