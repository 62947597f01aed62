/** Addresses, prefixes and MACs as values. */
import test from "ava";
import fc from "fast-check";
import {
  addressAt,
  type Cidr,
  cidr,
  contains,
  isNetwork,
  network,
  overlaps,
  parseCidr,
} from "../../src/net/cidr.js";
import {
  type Ip,
  ipBits,
  ipFromBigInt,
  ipFromBytes,
  ipToBigInt,
  isLinkLocal,
  isUnicast,
  parseIp,
} from "../../src/net/ip.js";
import { deriveMac, formatMac, parseMac } from "../../src/net/mac.js";

function ip(text: string): Ip {
  const parsed = parseIp(text);
  if (parsed === null) throw new Error(text);
  return parsed;
}

function prefix(text: string): Cidr {
  const parsed = parseCidr(text);
  if (parsed === null) throw new Error(text);
  return parsed;
}

const anyIp = fc
  .oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 }))
  .map(ipFromBytes);
const anyPrefix = fc
  .tuple(anyIp, fc.nat(128))
  .map(([address, length]) => cidr(address, length % (ipBits(address.family) + 1)));

test("text that is no address, or none on which all parsers agree, is refused", (t) => {
  const wrong = ["", "1.2.3", "010.1.2.3", "1.2.3.256", "1.2.3.4 ", "0x1.2.3.4", "1.2.3.4/8"];
  for (const text of [...wrong, ":::", "fe80::1%eth0", "1::2::3", "12345::", "[::1]"]) {
    t.is(parseIp(text), null, text);
  }
});

test("addresses have one canonical text", (t) => {
  t.is(ip("FD05:0:0:4E::0").text, "fd05:0:0:4e::");
  t.is(ip("2001:db8:0:0:1:0:0:1").text, "2001:db8::1:0:0:1");
  t.is(ip("::ffff:10.1.2.3").text, "10.1.2.3");
  t.is(ip("::").text, "::");
});

test("bytes, text and number of an address are the same address", (t) => {
  fc.assert(
    fc.property(anyIp, (address) => {
      const again = ipFromBigInt(address.family, ipToBigInt(address));
      t.deepEqual(again?.bytes, address.bytes);
      // An IPv4-mapped address is read as the IPv4 address that it means.
      const read = ip(address.text);
      if (read.family === address.family) t.deepEqual(read.bytes, address.bytes);
    }),
  );
  t.is(ipFromBigInt(4, 1n << 32n), null);
  t.is(ipFromBigInt(6, -1n), null);
});

test("addresses that no host may have are told apart", (t) => {
  for (const text of ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "ff02::1"]) {
    t.false(isUnicast(ip(text)), text);
  }
  for (const text of ["10.0.0.1", "223.255.255.255", "fd00::1", "fe80::1"]) t.true(isUnicast(ip(text)), text);
  t.deepEqual(
    ["169.254.1.1", "fe80::1", "febf::1", "fec0::1", "10.0.0.1"].map((text) => isLinkLocal(ip(text))),
    [true, true, true, false, false],
  );
});

test("prefixes are read strictly", (t) => {
  for (const text of [
    "10.0.0.0",
    "10.0.0.0/",
    "10.0.0.0/08",
    "10.0.0.0/33",
    "::/129",
    "10.0.0.0/-1",
    "10.0.0.0/8/8",
  ]) {
    t.is(parseCidr(text), null, text);
  }
  t.is(prefix("10.1.2.3/8").text, "10.1.2.3/8");
  t.is(network(prefix("10.1.2.3/8")).text, "10.0.0.0/8");
  t.throws(() => cidr(ip("10.0.0.0"), 33), { instanceOf: RangeError });
});

test("a prefix contains what shares its first bits, and nothing of the other family", (t) => {
  t.true(contains(prefix("10.5.0.0/16"), ip("10.5.255.255")));
  t.false(contains(prefix("10.5.0.0/16"), prefix("10.0.0.0/8")));
  t.false(contains(prefix("::/0"), ip("10.0.0.1")));
  t.true(contains(prefix("0.0.0.0/0"), prefix("10.0.0.0/8")));
  fc.assert(
    fc.property(anyPrefix, anyPrefix, (a, b) => {
      t.true(contains(a, network(a)) && isNetwork(network(a)));
      t.is(overlaps(a, b), contains(a, b) || contains(b, a));
    }),
  );
});

test("addresses of a prefix are counted from its network", (t) => {
  t.is(addressAt(prefix("10.5.1.7/24"), 1n)?.text, "10.5.1.1");
  t.is(addressAt(prefix("10.5.1.0/24"), 256n), null);
  t.is(addressAt(prefix("255.255.255.0/24"), 256n), null);
  t.is(addressAt(prefix("fd05::/64"), 1n << 63n)?.text, "fd05::8000:0:0:0");
});

test("MACs of interfaces are read in any case, others are refused", (t) => {
  t.is(formatMac(parseMac("B6:C4:b1:af:9E:94") ?? new Uint8Array()), "b6:c4:b1:af:9e:94");
  for (const text of ["", "b6:c4:b1:af:9e", "b6-c4-b1-af-9e-94", "01:00:5e:00:00:01", "00:00:00:00:00:00"]) {
    t.is(parseMac(text), null, text);
  }
});

test("a derived MAC is stable, local, unicast, and another for another VNI or address", (t) => {
  const mac = deriveMac(1, ip("10.99.0.1"));
  t.deepEqual(mac, deriveMac(1, ip("10.99.0.1")));
  t.is((mac[0] ?? 0) & 3, 2);
  t.notDeepEqual(mac, deriveMac(2, ip("10.99.0.1")));
  t.notDeepEqual(mac, deriveMac(1, ip("10.99.0.2")));
});
