/** The core against the model in VXLAN format. The work is in hunt.ts. */
import { testHunt } from "./hunt-test.js";

testHunt("vxlan");
