// node transform.mjs NODE_MODULES GLB: what glTF-Transform reads of a file, as JSON: how far every morph target
// moves a vertex at most, by mesh and target, and the names of the bones.
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const [modules, file] = process.argv.slice(2);
const require = createRequire(join(resolve(modules), "x.js"));
const { NodeIO } = require("@gltf-transform/core");
const { ALL_EXTENSIONS } = require("@gltf-transform/extensions");

const root = (await new NodeIO().registerExtensions(ALL_EXTENSIONS).read(file)).getRoot(), meshes = {};
for (const node of root.listNodes()) {
  const mesh = node.getMesh();
  if (!mesh) continue;
  const targets = mesh.listPrimitives()[0].listTargets(), names = mesh.getExtras().targetNames ?? [];
  meshes[node.getName()] = Object.fromEntries(targets.map((target, number) => {
    const moves = target.getAttribute("POSITION"), far = [0];
    for (let k = 0; k < moves.getCount(); k++) far.push(Math.hypot(...moves.getElement(k, [])));
    return [names[number], far.reduce((a, b) => Math.max(a, b))];
  }));
}
const bones = root.listSkins().flatMap(skin => skin.listJoints().map(joint => joint.getName()));
console.log(JSON.stringify({ meshes, bones }));
