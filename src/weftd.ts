/** The same under the name that it had: for what starts this file. */
import "./weftd.cjs";
