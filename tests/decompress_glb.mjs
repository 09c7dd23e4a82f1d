// Decompresses the GLB files named on the command line with glTF Transform and meshoptimizer's own decoder, writes each beside itself as
// NAME.plain.glb, and validates those with the Khronos glTF validator; prints one JSON report a line.
import { readFileSync, writeFileSync } from "node:fs";
import { NodeIO } from "@gltf-transform/core";
import { ALL_EXTENSIONS, EXTMeshoptCompression } from "@gltf-transform/extensions";
import validator from "gltf-validator";
import { MeshoptDecoder } from "meshoptimizer";

await MeshoptDecoder.ready;
const io = new NodeIO().registerExtensions(ALL_EXTENSIONS).registerDependencies({ "meshopt.decoder": MeshoptDecoder });
for (const path of process.argv.slice(2)) {
  const document = await io.readBinary(new Uint8Array(readFileSync(path)));
  document.createExtension(EXTMeshoptCompression).dispose();
  const plain = await io.writeBinary(document);
  writeFileSync(path.replace(/\.glb$/, ".plain.glb"), plain);
  const report = await validator.validateBytes(plain, { maxIssues: 20 });
  console.log(JSON.stringify({ path, ...report.issues }));
}
