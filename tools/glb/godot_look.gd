# godot3-server --path PROJECT -s godot_look.gd: what Godot 3 has imported as head.glb, as one line `IMPORTED {...}`:
# how far every morph target moves a vertex at most, by mesh and target, and the names of the bones.
extends SceneTree

var meshes = {}
var bones = []

func _init():
	look(load("res://head.glb").instance())
	print("IMPORTED ", to_json({"meshes": meshes, "bones": bones}))
	quit()

func look(node):
	if node is MeshInstance:
		meshes[node.name] = moves(node.mesh)
	if node is Skeleton:
		for bone in node.get_bone_count():
			bones.append(node.get_bone_name(bone))
	for child in node.get_children():
		look(child)

func moves(mesh):
	var found = {}
	var rest = mesh.surface_get_arrays(0)[ArrayMesh.ARRAY_VERTEX]
	var shapes = mesh.surface_get_blend_shape_arrays(0)
	for number in mesh.get_blend_shape_count():
		var shape = shapes[number][ArrayMesh.ARRAY_VERTEX]
		var most = 0.0
		for vertex in rest.size():
			var move = shape[vertex]
			if mesh.blend_shape_mode == Mesh.BLEND_SHAPE_MODE_NORMALIZED:
				move -= rest[vertex]  # shapes of this mode are whole positions
			most = max(most, move.length())
		found[mesh.get_blend_shape_name(number)] = most
	return found
