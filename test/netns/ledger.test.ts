/** The instrument itself (test/support/ledger.c), between two hosts without weft. */
import { setTimeout as delay } from "node:timers/promises";
import test from "ava";
import { Bed } from "../support/hosts.js";
import { Ledger } from "../support/ledger.js";

const PORT = 7000;
const MS = 1000;

test("a silence is the network's: packets that are lost make one, a sender that does not send makes none", async (t) => {
  const { hosts } = await Bed.create(t.teardown, { hosts: 2 });
  const [from, to] = hosts.map(({ ns }) => ns);
  const address = hosts[1]?.address;
  if (from === undefined || to === undefined || address === undefined) throw new Error("two hosts");
  const ledger = await Ledger.build(t.teardown);
  const stream = async (
    during: (pid: number) => Promise<void>,
  ): Promise<{ silenceMs: number; lost: number }> => {
    const started = await ledger.start(from, to, address, PORT, { perSecond: 2000 });
    await delay(200);
    await during(started.sender.pid);
    await delay(200);
    const { silenceUs, sent, delivered } = await started.stop();
    return { silenceMs: silenceUs / 1000, lost: sent - delivered };
  };

  const asleep = await stream(async (pid) => {
    process.kill(pid, "SIGSTOP");
    await delay(MS);
    process.kill(pid, "SIGCONT");
  });
  t.is(asleep.lost, 0);
  t.true(asleep.silenceMs < MS / 2, `${asleep.silenceMs} ms`);

  const cut = await stream(async () => {
    await to.nft(`table ip cut { chain in { type filter hook input priority 0; udp dport ${PORT} drop; }
    }`);
    await delay(MS);
    await to.nft("delete table ip cut");
  });
  t.true(cut.lost > 0, JSON.stringify(cut));
  t.true(cut.silenceMs >= MS, `${cut.silenceMs} ms`);
});
