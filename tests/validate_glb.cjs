// Validates the GLB files named on the command line with the Khronos glTF validator; prints one JSON report a line.
const fs = require("fs");
const validator = require("gltf-validator");

(async () => {
  for (const path of process.argv.slice(2)) {
    const report = await validator.validateBytes(new Uint8Array(fs.readFileSync(path)), { maxIssues: 20 });
    console.log(JSON.stringify({ path, ...report.issues }));
  }
})();
