"""Other programs' views of a GLB: the Khronos validator, Blender, three.js, and the project's own viewer."""
