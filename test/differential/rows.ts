/** A world of the model as the packed rows that native/core/tables.h declares. */
import { endianness } from "node:os";
import { mapped } from "../support/model/addresses.js";
import { type Bytes, join } from "../support/model/bytes.js";
import type { Peer, Route, Self, World } from "../support/model/world.js";

const LOCAL = 0xffffffff;

export interface Rows {
  readonly self: Bytes;
  readonly peers: Bytes;
  readonly routes: Bytes;
}

export function packWorld({ self, peers, routes }: World): Rows {
  return {
    self: packSelf(self),
    peers: join(...peers.map(packPeer)),
    routes: join(...routes.map(packRoute)),
  };
}

function packSelf(self: Self): Bytes {
  const { external, bridged, lenient, gbp } = self.admit;
  const admit = Number(external) + 2 * Number(bridged) + 4 * Number(lenient) + 8 * Number(gbp);
  const addresses = [self.source4, self.source6, self.address4, self.address6, self.gateway4, self.gateway6];
  return join(
    host32(self.vni),
    host32(self.mtu),
    ...addresses,
    self.mac4,
    self.mac6,
    host16(self.port),
    host16(admit),
  );
}

function packPeer({ address, node, mac, noEcn }: Peer): Bytes {
  return join(mapped(address), host32(node), mac, Number(noEcn), 0);
}

function packRoute({ prefix, length, to }: Route): Bytes {
  const peer = host32(to === "local" ? LOCAL : to);
  const padding = new Uint8Array(16 - prefix.length);
  return join(prefix, padding, peer, prefix.length === 4 ? 4 : 6, length, 0, 0);
}

function host16(value: number): Bytes {
  return host32(value).slice(...(endianness() === "LE" ? [0, 2] : [2, 4]));
}

function host32(value: number): Bytes {
  const bytes = Buffer.alloc(4);
  if (endianness() === "LE") bytes.writeUInt32LE(value);
  else bytes.writeUInt32BE(value);
  return bytes;
}
