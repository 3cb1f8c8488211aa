;; A component whose function gives a plain list.
(component
  (@custom "skewless.signature" "{\"abi\":1,\"name\":\"t\",\"inputs\":[{\"name\":\"a\",\"type\":\"float64\",\"nullable\":true},{\"name\":\"b\",\"type\":\"float64\",\"nullable\":true}],\"outputs\":[{\"name\":\"sum\",\"type\":\"float64\",\"nullable\":true}]}")
  (core module $m
    (memory (export "memory") 2)
    (global $top (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32) (param $len i32) (result i32)
      (local $at i32)
      (local.set $at (global.get $top))
      (global.set $top (i32.and (i32.add (i32.add (local.get $at) (local.get $len)) (i32.const 63)) (i32.const -64)))
      (if (i32.gt_u (global.get $top) (i32.mul (memory.size) (i32.const 65536))) (then
        (drop (memory.grow (i32.const 64)))))
      (local.get $at))
    (func (export "transform") (param $in i32) (param $len i32) (result i32)
      (i32.store (i32.const 16) (i32.const 1024)) (i32.store (i32.const 20) (i32.const 192)) (i32.const 16)))
  (core instance $i (instantiate $m))
  (func (export "transform") (param "batch" (list u8)) (result (list u8))
    (canon lift (core func $i "transform") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
