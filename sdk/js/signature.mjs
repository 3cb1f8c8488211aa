// Run by `skewless plugin build`, in the folder that has the plugin's files in `app`: prints the signature. Not for authors.
// What is wrong with a plugin is told with its own lines, without those of the kit and of Node.js.
import { spawnSync } from "node:child_process";

try {
  const plugin = await import("./app/plugin.js");
  const { ofModule } = await import("./app/skewless.js");
  console.log(`\n${ofModule(plugin).signature()}`);
} catch (error) {
  if (error instanceof SyntaxError) {
    // The place of it is told only by who reads the file, not by who imports it.
    const { stderr } = spawnSync(process.execPath, ["--check", "app/plugin.js"], { encoding: "utf8" });
    if (stderr) error.stack = stderr;
  }
  const here = new URL("./app/", import.meta.url);
  const foreign = /^\s+at .*(node:|\/skewless\.js|\/signature\.mjs)|\(<anonymous>\)$|^Node\.js v/;
  const lines = String(error?.stack ?? error).split("\n").filter((line) => !foreign.test(line));
  let text = lines.join("\n").replaceAll(here.href, "").replaceAll(here.pathname, "");
  if (error?.code === "ERR_MODULE_NOT_FOUND") {
    text +=
      "\nA plugin has the modules of its folder, by a relative path that ends with .js. A package of npm is bundled into such a file first: " +
      "npx esbuild --bundle --format=esm.";
  }
  console.error(text);
  process.exitCode = 1;
}
