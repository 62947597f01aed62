import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import fc from "fast-check";
import {
  type SubnetEnv,
  formatSubnetEnv,
  parseSubnetEnv,
  readSubnetEnv,
  writeSubnetEnv,
} from "../../src/linux/subnet-env.js";
import { prefix } from "../support/addresses.js";

const dualText = `FLANNEL_NETWORK=10.5.0.0/16
FLANNEL_SUBNET=10.5.32.1/24
FLANNEL_IPV6_NETWORK=fd05::/48
FLANNEL_IPV6_SUBNET=fd05:0:0:4e::1/64
FLANNEL_MTU=1472
FLANNEL_IPMASQ=false
`;
const v4Text = `FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.32.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n`;

const dual: SubnetEnv = {
  ipv4: { network: prefix("10.5.0.0/16"), subnet: prefix("10.5.32.0/24") },
  ipv6: { network: prefix("fd05::/48"), subnet: prefix("fd05:0:0:4e::/64") },
  mtu: 1472,
  ipMasq: false,
};

function directory(onCleanup: (cleanup: () => void) => void): string {
  const path = mkdtempSync(join(tmpdir(), "weft-subnet-env-"));
  onCleanup(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

test("writes flannel's lines in flannel's order, the subnet as its gateway's address", (t) => {
  t.is(formatSubnetEnv(dual), dualText);
  t.is(formatSubnetEnv({ ...dual, ipv6: null, mtu: 1450, ipMasq: true }), v4Text);
});

test("reads what it writes", (t) => {
  for (const text of [dualText, v4Text]) {
    const env = parseSubnetEnv(text);
    t.is(env === null ? null : formatSubnetEnv(env), text);
  }
  t.is(parseSubnetEnv(dualText)?.ipv4?.subnet.text, "10.5.32.1/24", "as a lease request wants it");
});

test("ignores lines of newer writers", (t) => {
  t.not(parseSubnetEnv(`${v4Text}FLANNEL_SOMETHING=new\n`), null);
});

test("any truncation reads as nothing or as the whole", (t) => {
  for (const text of [dualText, v4Text]) {
    for (let length = 0; length < text.length - 1; length++)
      t.is(parseSubnetEnv(text.slice(0, length)), null);
    t.deepEqual(
      parseSubnetEnv(text.slice(0, -1)),
      parseSubnetEnv(text),
      "only the last line's end is missing",
    );
  }
});

test("any flipped byte reads as nothing or as a file that could have been written", (t) => {
  fc.assert(
    fc.property(fc.nat(dualText.length - 1), fc.nat(255), (at, byte) => {
      const bytes = Buffer.from(dualText);
      bytes[at] = byte;
      const env = parseSubnetEnv(bytes.toString());
      return env === null || parseSubnetEnv(formatSubnetEnv(env)) !== null;
    }),
  );
  t.pass();
});

for (const [what, text] of [
  ["is empty", ""],
  ["has a subnet outside its network", dualText.replace("10.5.32.1", "10.6.32.1")],
  ["has a network with host bits", dualText.replace("10.5.0.0/16", "10.5.0.1/16")],
  ["has a subnet without its network", dualText.replace(/FLANNEL_NETWORK.*\n/, "")],
  [
    "has IPv6 where IPv4 belongs",
    dualText.replace("10.5.0.0/16", "fd05::/48").replace("10.5.32.1/24", "fd05::1/64"),
  ],
  ["says a thing twice", `${dualText}FLANNEL_MTU=9000\n`],
  ["has no network at all", "FLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"],
  ["has an impossible MTU", dualText.replace("1472", "0")],
  ["has shell code in it", `${dualText}$(reboot)\n`],
] as const) {
  test(`a file that ${what} reads as nothing`, (t) => t.is(parseSubnetEnv(text), null));
}

test("reads nothing from what is no such file", (t) => {
  const dir = directory((cleanup) => t.teardown(cleanup));
  const path = join(dir, "subnet.env");
  t.is(readSubnetEnv(path), null, "missing");
  mkdirSync(path);
  t.is(readSubnetEnv(path), null, "a directory");
  writeFileSync(join(dir, "large"), `${"\n".repeat(5000)}${v4Text}`);
  t.is(readSubnetEnv(join(dir, "large")), null, "too large");
  execFileSync("mkfifo", [join(dir, "pipe")]);
  t.is(readSubnetEnv(join(dir, "pipe")), null, "a pipe that nobody writes to");
  t.is(readSubnetEnv("/dev/zero"), null, "an endless device");
});

test("writes the file for everyone to read, in a directory of its own, and leaves nothing else there", (t) => {
  const dir = join(
    directory((cleanup) => t.teardown(cleanup)),
    "run",
    "flannel",
  );
  const path = join(dir, "subnet.env");
  writeSubnetEnv(path, dual);
  t.is(readFileSync(path, "utf8"), dualText);
  t.is(statSync(path).mode & 0o777, 0o644);
  t.is(statSync(dir).mode & 0o777, 0o755);
  writeSubnetEnv(path, { ...dual, ipv6: null, mtu: 1450, ipMasq: true });
  t.is(readFileSync(path, "utf8"), v4Text);
  t.deepEqual(readdirSync(dir), ["subnet.env"]);
});

test("a failed write leaves the old file and no temporary one", (t) => {
  const dir = directory((cleanup) => t.teardown(cleanup));
  const path = join(dir, "subnet.env");
  mkdirSync(join(path, "in the way"), { recursive: true });
  t.throws(() => writeSubnetEnv(path, dual), { code: "EISDIR" });
  t.deepEqual(readdirSync(dir), ["subnet.env"]);
});

test("a file that cannot be written and says the right thing already is fine", (t) => {
  const dir = directory((cleanup) => t.teardown(cleanup));
  const path = join(dir, "subnet.env");
  writeSubnetEnv(path, dual);
  mkdirSync(join(dir, ".subnet.env.tmp", "in the way"), { recursive: true });
  t.notThrows(() => writeSubnetEnv(path, dual));
  t.throws(() => writeSubnetEnv(path, { ...dual, mtu: 1400 }));
  t.is(readFileSync(path, "utf8"), dualText);
});

test("does not write through a link left under the temporary name", (t) => {
  const dir = directory((cleanup) => t.teardown(cleanup));
  const victim = join(dir, "victim");
  writeFileSync(victim, "precious");
  symlinkSync(victim, join(dir, ".subnet.env.tmp"));
  writeSubnetEnv(join(dir, "subnet.env"), dual);
  t.is(readFileSync(victim, "utf8"), "precious");
  t.is(readFileSync(join(dir, "subnet.env"), "utf8"), dualText);
});
