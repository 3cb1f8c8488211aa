// Run by `skewless plugin build` in a folder of its own: makes a component of app/skewless_entry.js. Arguments: the module of
// componentize-js, the folder of the contract, the file to write.
import { writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [tool, witPath, out] = process.argv.slice(2);
const { componentize } = await import(pathToFileURL(tool));
const { component } = await componentize({
  sourcePath: "app/skewless_entry.js",
  witPath,
  worldName: "plugin",
  // A plugin imports nothing.
  disableFeatures: ["stdio", "random", "clocks", "http", "fetch-event"],
});
writeFileSync(out, component);
