// Made part of a plugin by `skewless plugin build`, before plugin.js: what would differ from call to call or from build to build throws.
function refuse(name, instead) {
  return () => {
    throw new Error(`${name}: ${instead}`);
  };
}

const NO_CLOCK = "a plugin has no clock; take the time as an input";
Math.random = refuse("Math.random", "a plugin has no randomness; hash the row's own values");

const AnyDate = Date;
globalThis.Date = class Date extends AnyDate {
  constructor(...of) {
    if (of.length === 0) throw new Error(`new Date(): ${NO_CLOCK}`);
    super(...of);
  }
  static now() {
    throw new Error(`Date.now: ${NO_CLOCK}`);
  }
};
if (globalThis.performance) globalThis.performance.now = refuse("performance.now", NO_CLOCK);
