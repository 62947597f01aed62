/**
 * Floods at length, with their figures: what of a legitimate flow arrives beside strangers, and how long a route takes
 * to be applied while a peer sends as much as it can. `npm run test:long`, on a quiet machine.
 */
import test from "ava";
import { startFloodBed, underStrangers } from "../support/flood.js";
import { until } from "../support/process.js";

const UPDATES = 200;

for (const format of ["udp", "vxlan"] as const) {
  test.serial(`${format}: strangers at five times a legitimate flow for ten seconds`, async (t) => {
    const bed = await startFloodBed(t.teardown, format);
    const { perSecond, sent, arrived } = await underStrangers(bed, { searchMs: 2000, floodMs: 10_000 });
    const share = ((100 * arrived) / sent).toFixed(2);
    t.log(
      `${perSecond} a second without loss; of ${sent} at a fifth of that, ${arrived} arrived: ${share} %`,
    );
    t.true(arrived >= 0.9 * sent);
  });

  test.serial(`${format}: ${UPDATES} route updates while a peer sends as much as it can`, async (t) => {
    const bed = await startFloodBed(t.teardown, format);
    const { overlay, weft, hosts, pacer, flow } = bed;
    const received = (): Promise<number> => weft.weftd.counter("rx", "packets");
    const flood = pacer.start(hosts[1].ns, flow({ perSecond: 0, milliseconds: 120_000 }));
    const before = await received();
    await until("the flood", async () => ((await received()) > before + 1000 ? true : null));

    const took: number[] = [];
    for (let i = 0; i < UPDATES; i++) {
      const present = i % 2 === 0;
      await (present ? overlay.addToFile(hosts[2]) : overlay.removeFromFile(hosts[2]));
      const begin = performance.now();
      weft.weftd.program.signal("SIGHUP");
      await until("the update", async () => {
        const routes = await weft.weftd.ask("/routes");
        return routes.some(({ via }) => via === hosts[2].address) === present ? true : null;
      });
      took.push(performance.now() - begin);
    }
    t.is(flood.exit, null, "the flood was still on");
    await flood.stop();
    took.sort((a, b) => a - b);
    const at = (share: number): string => (took[Math.floor(share * (took.length - 1))] ?? 0).toFixed(1);
    t.log(
      `applied and seen through the admin socket: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, most ${at(1)} ms`,
    );
  });
}
