"""From networks to graphs and engines: export, INT8, TensorRT and OpenVINO, and the parity gate."""
