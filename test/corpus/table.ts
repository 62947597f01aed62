/** All cases, in the order in which they run. */
import type { RxCase, TxCase } from "./case.js";
import { headersRx, headersTx } from "./ip-header.js";
import { frames } from "./rx-frame.js";
import { neighbours } from "./rx-neighbour.js";
import { senders } from "./rx-sender.js";

export const rxCases: readonly RxCase[] = [...senders, ...frames, ...neighbours, ...headersRx];
export const txCases: readonly TxCase[] = [...headersTx];
