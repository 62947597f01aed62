/**
 * H18: whatever is in the files that a daemon reads when it starts, no reader throws, and what was torn is not taken for
 * true. Files are mutated by chance that a seed repeats: WEFT_MUTATIONS=1000000 WEFT_SEED=7 for a long run.
 */
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import estates from "../../src/dataplane/estate.cjs";
import { formatMemory, parseMemory } from "../../src/lease/memory.js";
import { formatSubnetEnv, parseSubnetEnv } from "../../src/linux/subnet-env.js";
import resume from "../../src/resume.cjs";
import { Chance } from "../faults/chance.js";
import { recordFinding } from "../support/findings.js";
import { temporaryDirectory } from "../support/process.js";

const TIMES = Number(process.env["WEFT_MUTATIONS"] ?? 4000);
const SEED = Number(process.env["WEFT_SEED"] ?? 1);

const SUBNET_ENV =
  "FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.32.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n";
const MEMORY = formatMemory({
  prefix: "/coreos.com/network",
  endpoints: ["http://127.0.0.1:2379"],
  config: '{"Network":"10.5.0.0/16"}',
  own: { key: "10.5.32.0-24", value: '{"PublicIP":"10.99.0.1","PublicIPv6":null}' },
  peers: [{ key: "10.5.33.0-24", value: '{"PublicIP":"10.99.0.2","PublicIPv6":null}' }],
}).text;

/** Cut, flipped, doubled, shuffled, overwritten with what readers have a meaning for. */
function mutate(text: string, chance: Chance): string {
  const bytes = Buffer.from(text, "latin1");
  const at = (): number => Math.floor(chance.between(0, bytes.length));
  const [a, b] = [at(), at()].sort((x, y) => x - y) as [number, number];
  const word = chance.pick([
    "",
    "null",
    "1e999",
    "-1",
    "{}",
    "[]",
    '"',
    "\0",
    "\n",
    "=",
    "__proto__",
    "9".repeat(40),
  ]);
  switch (chance.pick(["cut", "flip", "drop", "double", "word", "noise"])) {
    case "cut":
      return text.slice(0, a);
    case "flip":
      bytes[a] = (bytes[a] ?? 0) ^ (1 << Math.floor(chance.between(0, 8)));
      return bytes.toString("latin1");
    case "drop":
      return text.slice(0, a) + text.slice(b);
    case "double":
      return text.slice(0, b) + text.slice(a);
    case "word":
      return text.slice(0, a) + word + text.slice(a + word.length);
    default:
      for (let i = a; i < Math.min(b, a + 16); i++) bytes[i] = Math.floor(chance.between(0, 256));
      return bytes.toString("latin1");
  }
}

/** The same with a first line that vouches for it: hostile, not torn. */
function sealed(text: string): string {
  const [head = "", ...body] = text.split("\n");
  const digest = createHash("sha256").update(body.join("\n")).digest("hex");
  return [head.replace(/[0-9a-f]{64}$/, digest), ...body].join("\n");
}

/** Whether reading ends, with or without a result. */
function reads(read: () => unknown): boolean {
  read();
  return true;
}

test("H18: torn and hostile files are read as nothing, or as what they say", async (t) => {
  t.timeout(3_600_000);
  const directory = await temporaryDirectory((cleanup) => t.teardown(cleanup));
  const settings = { tun: "weft0", format: "vxlan", port: 8472, underlay4: true, underlay6: false } as const;
  estates.writeEstate(directory, {
    settings: { ...settings, offloads: ["gso"], workers: 1, realtime: true },
    rows: [Buffer.alloc(84, 1), Buffer.alloc(28, 2), Buffer.alloc(48, 3)],
  });
  const estate = readFileSync(join(directory, "estate"), "latin1");
  t.not(estates.parseEstate(Buffer.from(estate, "latin1")), null);
  t.not(parseMemory(Buffer.from(MEMORY)), null);
  const chance = new Chance(SEED);
  for (let i = 0; i < TIMES; i++) {
    const torn = mutate(estate, chance);
    if (torn !== estate) t.is(estates.parseEstate(Buffer.from(torn, "latin1")), null, JSON.stringify(torn));
    const memory = mutate(MEMORY, chance);
    if (memory !== MEMORY) t.is(parseMemory(Buffer.from(memory, "latin1")), null, JSON.stringify(memory));
    t.true(reads(() => parseMemory(Buffer.from(sealed(memory), "latin1"))));
    const read = parseSubnetEnv(mutate(SUBNET_ENV, chance));
    // What is believed can be written and read again.
    if (read !== null) t.not(parseSubnetEnv(formatSubnetEnv(read)), null);
    if (i % 10 > 0) continue;
    writeFileSync(join(directory, "starts"), mutate('{"count":2,"at":100,"waiting":true}', chance), "latin1");
    const { waitMs } = resume.noteStart(directory, 100);
    t.true(waitMs >= 0 && waitMs <= 10_000, String(waitMs));
  }
  recordFinding({
    row: "H18",
    fault: "files that a daemon reads at its start are cut, flipped or overwritten",
    test: "test/unit/hostile-files.test.ts",
    bound: "none taken for true, no reader throws",
    measured: `${TIMES} mutations of each file: so it is`,
  });
});
