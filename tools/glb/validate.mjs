// node validate.mjs NODE_MODULES GLB...: the Khronos validator's report of each file, as one JSON list.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const [modules, ...files] = process.argv.slice(2);
const validator = createRequire(join(resolve(modules), "x.js"))("gltf-validator");
const reports = [];
for (const file of files) {
  const report = await validator.validateBytes(new Uint8Array(readFileSync(file)), { maxIssues: 1000 });
  reports.push({ file, issues: report.issues, info: report.info });
}
console.log(JSON.stringify(reports));
