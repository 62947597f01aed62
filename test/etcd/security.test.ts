/** TLS in both directions, and password with its tokens, against a real etcd. Rows C10 and C11 of the fault catalogue. */
import { once } from "node:events";
import { copyFile, readFile, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createServer } from "node:tls";
import test, { type ExecutionContext } from "ava";
import { pino } from "pino";
import type { EtcdOptions } from "../../src/config/options.js";
import { EtcdClient } from "../../src/etcd/client.js";
import { singleKey } from "../../src/etcd/messages.js";
import { EtcdRegistry } from "../../src/etcd/registry.js";
import { TlsFiles } from "../../src/etcd/tls.js";
import { recordTime, within } from "../support/bounds.js";
import { type Etcd, startEtcd } from "../support/etcd.js";
import {
  forever,
  joinNetwork,
  leaseKey,
  openRegistry,
  options,
  PREFIX,
  sees,
  UDP,
  withConfig,
} from "../support/etcd-nodes.js";
import { logLines } from "../support/log-lines.js";
import { run, temporaryDirectory, until } from "../support/process.js";
import { TcpProxy } from "../support/tcp-proxy.js";

interface Certificates {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** A certificate authority, and one certificate that serves both ends, for 127.0.0.1 unless told otherwise. */
async function certificates(
  t: ExecutionContext,
  { days = 365, name = "IP:127.0.0.1" } = {},
): Promise<Certificates> {
  const directory = await temporaryDirectory(t.teardown);
  const file = (base: string): string => join(directory, base);
  const openssl = (line: string): Promise<string> => run("openssl", line.split(" "));
  const newKey = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
  await openssl(
    `req -x509 ${newKey} -keyout ${file("ca.key")} -out ${file("ca.pem")} -days 365 -subj /CN=test-ca`,
  );
  await openssl(`req -new ${newKey} -keyout ${file("key.pem")} -out ${file("csr.pem")} -subj /CN=node`);
  await writeFile(file("ext"), `subjectAltName=${name}\nextendedKeyUsage=serverAuth,clientAuth\n`);
  await openssl(
    `x509 -req -in ${file("csr.pem")} -CA ${file("ca.pem")} -CAkey ${file("ca.key")} -CAcreateserial -days ${days} ` +
      `-extfile ${file("ext")} -out ${file("cert.pem")}`,
  );
  return { ca: file("ca.pem"), cert: file("cert.pem"), key: file("key.pem") };
}

function tlsFiles({ ca, cert, key }: Certificates): Partial<EtcdOptions> {
  return { caFile: ca, certFile: cert, keyFile: key };
}

test("C11: a client certificate opens an etcd that demands one, and only then", async (t) => {
  const tls = await certificates(t);
  const etcd = await startEtcd(t.teardown, { tls: { ...tls, clientAuth: true } });
  await etcd.put(`${PREFIX}/config`, UDP);
  const node = await joinNetwork(t, options(etcd, tlsFiles(tls)), "10.99.0.1");
  t.true(node.registry.status().connected);
  const without = openRegistry(t, options(etcd, { caFile: tls.ca }));
  const waiting = without.networkConfig(AbortSignal.timeout(60_000));
  await until("the refusal", () => without.status().problem);
  t.false(without.status().connected);
  await without.close();
  await t.throwsAsync(waiting, { message: /closed/ });
});

test("C11: a CA alone is honoured, and a server that it did not sign is refused", async (t) => {
  const [tls, other] = [await certificates(t), await certificates(t)];
  const etcd = await startEtcd(t.teardown, { tls: { ...tls, clientAuth: false } });
  await etcd.put(`${PREFIX}/config`, UDP);
  const node = await joinNetwork(t, options(etcd, { caFile: tls.ca }), "10.99.0.1");
  t.true(node.registry.status().connected);
  const wary = openRegistry(t, options(etcd, { caFile: other.ca }));
  const waiting = wary.networkConfig(forever);
  await until("the refusal", () => (/certificate/.test(wary.status().problem ?? "") ? true : null));
  await wary.close();
  await t.throwsAsync(waiting, { message: /closed/ });
});

test("C11: TLS files that cannot be read are a wrong setting", (t) => {
  const wrong = options({ endpoint: "https://127.0.0.1:1" }, { caFile: "/nonexistent/ca.pem" });
  t.throws(() => new EtcdRegistry(wrong, 60, pino({ level: "silent" })), {
    name: "ConfigError",
    message: /\/nonexistent\/ca\.pem/,
  });
});

test("C11: a certificate for another name is refused, whoever signed it", async (t) => {
  const tls = await certificates(t, { name: "DNS:elsewhere.example" });
  const server = createServer({
    cert: await readFile(tls.cert),
    key: await readFile(tls.key),
    ALPNProtocols: ["h2"],
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  const wary = openRegistry(t, options({ endpoint: `https://127.0.0.1:${port}` }, { caFile: tls.ca }));
  const waiting = wary.networkConfig(forever);
  await until("the refusal", () => (/altnames/.test(wary.status().problem ?? "") ? true : null));
  await wary.close();
  await t.throwsAsync(waiting, { message: /closed/ });
});

test("C11: plain http is spoken only where an endpoint says so", async (t) => {
  const etcd = await withConfig(t);
  const secure = openRegistry(t, options({ endpoint: etcd.endpoint.replace("http:", "https:") }));
  const waiting = secure.networkConfig(forever);
  await until("the refusal", () => secure.status().problem);
  t.false(secure.status().connected);
  await secure.close();
  await t.throwsAsync(waiting, { message: /closed/ });
});

test("C11: another CA, certificate and key on disk are used by the next connection, without a restart", async (t) => {
  const [old, renewed] = [await certificates(t), await certificates(t)];
  const [first, second] = [
    await startEtcd(t.teardown, { tls: { ...old, clientAuth: true } }),
    await startEtcd(t.teardown, { tls: { ...renewed, clientAuth: true } }),
  ];
  for (const etcd of [first, second]) await etcd.put(`${PREFIX}/config`, UDP);
  const used = await certificates(t);
  const copy = async (from: Certificates): Promise<void> => {
    for (const file of ["ca", "key", "cert"] as const) await copyFile(from[file], used[file]);
  };
  await copy(old);
  const wire = await TcpProxy.start(t.teardown, first.endpoint);
  const node = await joinNetwork(t, options(wire, tlsFiles(used)), "10.99.0.1");

  wire.heal(second.endpoint);
  await until("the refusal", () => (/certificate/.test(node.registry.status().problem ?? "") ? true : null));
  // Half a renewal: the key does not belong to the certificate. What was read before stays in use.
  await copyFile(renewed.key, used.key);
  await until("the report", () =>
    /cannot be used/.test(node.registry.status().problem ?? "") ? true : null,
  );
  await copy(renewed);
  await within(
    t,
    { row: "C11", fault: "CA, certificate and key are replaced on disk, half of them first", boundMs: 5000 },
    "the connection",
    () => node.registry.status().connected,
  );
  t.is(node.registry.status().problem, null);
  await until("the own lease", () => second.get(leaseKey(node)));
});

for (const [days, message] of [
  [20, /less than 30 days/],
  [5, /less than 7 days/],
  [1, /less than 1 day$/],
  [90, null],
] as const) {
  test(`C11: a certificate that ends in ${days} days is ${message === null ? "not " : ""}warned about, once`, async (t) => {
    const tls = await certificates(t, { days });
    const { log, lines } = logLines();
    const files = new TlsFiles(options({ endpoint: "https://127.0.0.1:1" }, tlsFiles(tls)), log);
    for (let times = 0; times < 3; times++) files.warnOfExpiry();
    t.deepEqual(
      lines.map(({ path, reason }) => [path, reason]),
      message === null ? [] : [[tls.cert, "expiry"]],
    );
    if (message !== null) t.regex(String(lines[0]?.["msg"]), message);
    t.is(Math.ceil((files.expirySeconds() ?? 0) / 86_400), days);
    // The renewed one is read with the next connection.
    const renewed = await certificates(t);
    for (const file of ["ca", "key", "cert"] as const) await copyFile(renewed[file], tls[file]);
    files.credentials();
    files.warnOfExpiry();
    t.is(lines.length, message === null ? 0 : 1);
    t.is(Math.ceil((files.expirySeconds() ?? 0) / 86_400), 365);
  });
}

/** An etcd with authentication: root, and weft with a role for the network. */
async function withUsers(t: ExecutionContext, flags: readonly string[] = []): Promise<Etcd> {
  const etcd = await startEtcd(t.teardown, { flags: ["--bcrypt-cost=4", ...flags] });
  await etcd.put(`${PREFIX}/config`, UDP);
  const user = async (name: string, password: string): Promise<void> => {
    await etcd.ctl("user", "add", `${name}:${password}`);
  };
  await user("root", "root-word");
  await etcd.ctl("user", "grant-role", "root", "root");
  await user("weft", "secret");
  await etcd.ctl("role", "add", "network");
  await etcd.ctl("role", "grant-permission", "network", "--prefix=true", "readwrite", PREFIX);
  await etcd.ctl("user", "grant-role", "weft", "network");
  return etcd;
}

test("C10: a password logs in, again when its token is lost, and a wrong one is reported", async (t) => {
  const etcd = await withUsers(t);
  const asWeft = options(etcd, { username: "weft", password: "secret" });
  const early = await joinNetwork(t, asWeft, "10.99.0.2");
  await etcd.ctl("auth", "enable");

  const node = await joinNetwork(t, asWeft, "10.99.0.1");
  const wrong = openRegistry(t, options(etcd, { username: "weft", password: "guess" }));
  const waiting = wrong.networkConfig(forever);
  await until("the refusal", () =>
    /authentication failed/.test(wrong.status().problem ?? "") ? true : null,
  );
  t.false(wrong.status().connected);
  await wrong.close();
  await t.throwsAsync(waiting, { message: /closed/ });

  // etcd forgets its tokens with its process.
  await etcd.stop();
  await etcd.start();
  await etcd.ctl(
    "--user=root:root-word",
    "put",
    `${PREFIX}/subnets/10.5.200.0-24`,
    '{"PublicIP":"10.99.0.3"}',
  );
  await sees(node, early.lease.key, "10.5.200.0-24");
  t.is(node.registry.status().problem, null);
});

test("C10: a role that is revoked is told apart from a wrong password, and a granted one used within 5 s", async (t) => {
  const etcd = await withUsers(t);
  await etcd.ctl("auth", "enable");
  const asRoot = (...words: string[]): Promise<string> => etcd.ctl("--user=root:root-word", ...words);
  const wire = await TcpProxy.start(t.teardown, etcd.endpoint);
  const asWeft = options(wire, { username: "weft", password: "secret" });
  const node = await joinNetwork(t, asWeft, "10.99.0.1");
  const put = (key: string): Promise<string> =>
    asRoot("put", `${PREFIX}/subnets/${key}`, '{"PublicIP":"10.99.0.3"}');
  await put("10.5.199.0-24");
  await sees(node, "10.5.199.0-24");

  await asRoot("user", "revoke-role", "weft", "network");
  wire.heal();
  await until("the refusal", () =>
    /permission denied/.test(node.registry.status().problem ?? "") ? true : null,
  );
  t.true(node.registry.status().connected, "etcd answers, if only with a refusal");
  await sees(node, "10.5.199.0-24");
  await asRoot("user", "grant-role", "weft", "network");
  await put("10.5.200.0-24");
  const begin = performance.now();
  await sees(node, "10.5.199.0-24", "10.5.200.0-24");
  recordTime(
    t,
    { row: "C10", fault: "the role is revoked and granted again", boundMs: 5000 },
    performance.now() - begin,
  );
  await until("no problem", () => (node.registry.status().problem === null ? true : null));
});

test("C10: a token that expires is renewed without a word", async (t) => {
  const keys = await temporaryDirectory(t.teardown);
  const [key, pub] = [join(keys, "jwt.key"), join(keys, "jwt.pub")];
  await run("openssl", ["genrsa", "-out", key, "2048"]);
  await run("openssl", ["rsa", "-in", key, "-pubout", "-out", pub]);
  const etcd = await withUsers(t, [
    `--auth-token=jwt,pub-key=${pub},priv-key=${key},sign-method=RS256,ttl=1s`,
  ]);
  await etcd.ctl("auth", "enable");
  const { log, lines } = logLines();
  const client = new EtcdClient(options(etcd, { username: "weft", password: "secret" }), log);
  t.teardown(() => client.close());
  const read = (): Promise<unknown> => client.call("KV.Range", singleKey(`${PREFIX}/config`));
  await read();
  const logins = async (): Promise<number> => (await etcd.requests()).get("Authenticate") ?? 0;
  const before = await logins();
  await until("another login", async () => {
    await read();
    return (await logins()) > before ? true : null;
  });
  t.deepEqual(
    lines.map(({ msg }) => msg),
    ["etcd answers"],
  );
});
