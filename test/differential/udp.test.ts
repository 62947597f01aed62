/** The core against the model in udp format. The work is in hunt.ts. */
import { testHunt } from "./hunt-test.js";

testHunt("udp");
