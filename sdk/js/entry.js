// Made part of a plugin by `skewless plugin build`: what the component exports, around plugin.js. Not for authors.
import "./skewless_sandbox.js";
import * as plugin from "./plugin.js";
import { ofModule, said } from "./skewless.js";

const it = ofModule(plugin);

export function transform(batch) {
  try {
    return it.run(batch);
  } catch (error) {
    // What the error of the contract's result is.
    throw Object.assign(new Error(), { payload: said(error) });
  }
}
