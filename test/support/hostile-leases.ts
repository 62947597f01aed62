/**
 * Leases that no node of a dual-stack VXLAN network may believe: crafted by hand, one idea each, for the network
 * 10.0.0.0/12 with fd05::/48, for a host that has 192.0.2.1 and 2001:db8::1. Nobody else is in 10.5.0.0/16.
 */

interface Fields {
  readonly [name: string]: unknown;
}

const DATA = { VNI: 1, VtepMAC: "02:00:00:00:66:66" };
const GOOD: Fields = {
  PublicIP: "192.0.2.66",
  PublicIPv6: "2001:db8::66",
  BackendType: "vxlan",
  BackendData: DATA,
  BackendV6Data: DATA,
};

/** What a whole lease would be, but for the fields that are changed. */
const changed = (changes: Fields): string => JSON.stringify({ ...GOOD, ...changes });

/** Keys that name no subnet of the network, with a value that is all right. */
const BAD_KEYS = [
  ...[
    "",
    "nonsense",
    "/",
    "..",
    "10.5.7.0",
    "10.5.7.0-",
    "-24",
    "10.5.7.0/24",
    "10.5.7.0-24 ",
    " 10.5.7.0-24",
  ],
  ...[
    "10.5.7.0-24&",
    "&fd05:0:0:7::-64",
    "10.5.7.0-24&fd05:0:0:7::",
    "10.5.7.0-24&10.5.8.0-24",
    "10.5.7.0-24&&",
  ],
  ...[
    "10.5.7-24",
    "10.5.7.0.0-24",
    "10.5.07.0-24",
    "10.5.256.0-24",
    "0x0a.5.7.0-24",
    "10.5.7.0-024",
    "10.5.7.0--24",
  ],
  ...["10.5.7.1-24", "10.5.7.128-24", "10.5.7.0-24&fd05:0:0:7::1-64", "10.5.7.0-24&FD05:0:0:7::-64"],
  ...[
    "10.5.7.0-24&fd05:0:0:7::-64&fd05:0:0:8::-64",
    "10.5.7.0-24&fd05:0:0:7::-64x",
    "10.5.7.0-24\n",
    "10.5.7.0-24\0",
  ],
  ...[
    "10.5.7.0-0",
    "10.5.7.0-7",
    "0.0.0.0-0",
    "10.0.0.0-8",
    "10.5.0.0-16",
    "10.5.0.0-17",
    "10.5.6.0-23",
    "10.5.7.0-25",
  ],
  ...[
    "10.5.7.0-30",
    "10.5.7.0-31",
    "10.5.7.0-32",
    "10.5.7.0-33",
    "10.5.7.0-999",
    "10.5.7.0-99999999999999999999",
  ],
  ...[
    "10.16.7.0-24",
    "10.255.0.0-24",
    "192.0.2.0-24",
    "127.0.0.0-24",
    "224.0.0.0-24",
    "255.255.255.0-24",
    "0.0.0.0-24",
  ],
  ...[
    "169.254.0.0-24",
    "8.8.8.0-24",
    "10.5.7.0-24&fd06:0:0:7::-64",
    "10.5.7.0-24&fd05:1::-64",
    "10.5.7.0-24&::-0",
  ],
  ...[
    "10.5.7.0-24&fd05:0:0:7::-63",
    "10.5.7.0-24&fd05:0:0:7::-65",
    "10.5.7.0-24&fd05::-48",
    "10.5.7.0-24&::1-128",
  ],
  ...[
    "10.5.7.0-24&fe80::-64",
    "10.5.7.0-24&ff02::-64",
    "10.5.7.0-24&2001:db8::-64",
    "10.5.7.0-24&::ffff:10.5.7.0-120",
  ],
  ...[
    "subnets/10.5.7.0-24",
    "../config",
    "__proto__",
    "constructor",
    "%s%n",
    "$(reboot)",
    "x".repeat(20_000),
  ],
];

/** JSON that is none, or no object, or has a field of a wrong type. */
const BAD_VALUES: readonly (string | Buffer)[] = [
  ...["", " ", "{", "}", "[]", "null", "true", "7", '"text"', "{}{}", "{'PublicIP':1}", "undefined", "NaN"],
  ...[
    '{"PublicIP":"192.0.2.66"',
    '{"PublicIP":}',
    '{PublicIP:"192.0.2.66"}',
    "\ufeff{}",
    "<xml/>",
    "[[[[[[[[",
  ],
  ...[
    "[".repeat(2000),
    '{"a":'.repeat(500),
    `{"PublicIP":"${"1".repeat(3000)}"}`,
    "\0".repeat(100),
    "%".repeat(50),
  ],
  ...[
    Buffer.from([0xff, 0xfe, 0xfd]),
    Buffer.from([0x80]),
    Buffer.alloc(64, 0xc3),
    Buffer.from('{"PublicIP":"\xff"}', "latin1"),
  ],
  ...[
    "{}",
    '{"__proto__":{"PublicIP":"192.0.2.66"}}',
    '{"constructor":{}}',
    '{"PublicIP":null}',
    '{"PublicIP":[]}',
  ],
  ...[
    changed({ PublicIP: 7 }),
    changed({ PublicIP: {} }),
    changed({ PublicIP: ["192.0.2.66"] }),
    changed({ PublicIP: true }),
  ],
  ...[
    changed({ PublicIPv6: 7 }),
    changed({ PublicIPv6: {} }),
    changed({ BackendType: 7 }),
    changed({ BackendType: {} }),
  ],
  ...[
    changed({ BackendData: 7 }),
    changed({ BackendData: "x" }),
    changed({ BackendData: [] }),
    changed({ BackendV6Data: 7 }),
  ],
  ...[1.5, "1", {}, [], true].map((VNI) => changed({ BackendData: { ...DATA, VNI } })),
  ...[
    7,
    {},
    [],
    "",
    "x",
    "02:00:00:00:66",
    "02-00-00-00-66-66",
    "02:00:00:00:66:6g",
    "020000006666",
    "02:00:00:00:66:66:66",
  ].map((VtepMAC) => changed({ BackendData: { ...DATA, VtepMAC } })),
  ...["00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "33:33:00:00:00:01"].flatMap(
    (VtepMAC) => [
      changed({ BackendData: { ...DATA, VtepMAC } }),
      changed({ BackendV6Data: { ...DATA, VtepMAC } }),
    ],
  ),
  ...[{ id: 7 }, { id: {} }, 7, "x"].map((weft) => changed({ BackendData: { ...DATA, weft } })),
  ...[4097, 100_000, 1_000_000].map((size) => changed({ padding: "x".repeat(size) })),
];

/** Whole leases of other networks, and of nodes that cannot be where they say. */
const BAD_CONTENTS: readonly string[] = [
  ...[
    "udp",
    "host-gw",
    "ipip",
    "wireguard",
    "alloc",
    "extension",
    "VXLAN",
    " vxlan",
    "vxlan\0",
    "geneve",
  ].map((BackendType) => changed({ BackendType })),
  ...[0, 2, -1, 16_777_216, 4_294_967_297, 1e300].map((VNI) => changed({ BackendData: { ...DATA, VNI } })),
  ...[
    { BackendData: {} },
    { BackendData: { VNI: 1 } },
    { BackendData: undefined },
    { BackendV6Data: undefined },
  ].map(changed),
  ...[{ BackendV6Data: {} }, { PublicIPv6: null }, { PublicIPv6: undefined }, { PublicIP: undefined }].map(
    changed,
  ),
  ...[
    "0.0.0.0",
    "0.1.2.3",
    "127.0.0.1",
    "127.255.255.254",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
  ].map((PublicIP) => changed({ PublicIP })),
  ...["10.5.0.0", "10.5.7.1", "10.5.200.1", "10.5.255.255", "192.0.2.1"].map((PublicIP) =>
    changed({ PublicIP }),
  ),
  ...[
    "",
    " ",
    "x",
    "192.0.2",
    "192.0.2.66.1",
    "192.0.2.256",
    "192.0.2.066",
    "0x7f.1",
    "3221226050",
    "192.0.2.66/24",
  ].map((PublicIP) => changed({ PublicIP })),
  ...["192.0.2.66 ", "192.0.2.66:8472", "localhost", "2001:db8::66", "::ffff:127.0.0.1"].map((PublicIP) =>
    changed({ PublicIP }),
  ),
  ...[
    "::",
    "::1",
    "ff02::1",
    "ff0e::1",
    "fd05::1",
    "fd05:0:0:7::1",
    "2001:db8::1",
    "192.0.2.66",
    "x",
    "",
  ].map((PublicIPv6) => changed({ PublicIPv6 })),
  ...[
    "::ffff:192.0.2.66",
    "2001:db8::66%eth0",
    "2001:db8::66/64",
    ":::",
    "2001:db8::g",
    "[2001:db8::66]",
  ].map((PublicIPv6) => changed({ PublicIPv6 })),
];

/**
 * Entries to put below `subnets/`, each with a key of its own. Bad values stand under keys of free subnets.
 *
 * @param taken keys of leases that are in use: their subnets are claimed again, in the form without IPv6
 * @param addresses public addresses in use: they are claimed again, with another MAC
 */
export function hostileLeases(
  taken: readonly string[],
  addresses: readonly string[],
): readonly (readonly [name: string, value: string | Buffer])[] {
  const thefts = addresses.map((PublicIP) => changed({ PublicIP }));
  return [
    ...BAD_KEYS.map((name) => [name, changed({})] as const),
    ...[...BAD_VALUES, ...BAD_CONTENTS, ...thefts].map((value, index) => {
      return [`10.5.${index}.0-24&fd05:0:0:${(0x5000 + index).toString(16)}::-64`, value] as const;
    }),
    ...taken.map((name) => [name.replace(/&.*/, ""), changed({})] as const),
  ];
}
