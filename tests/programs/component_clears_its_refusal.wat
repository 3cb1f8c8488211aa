;; A component that answers with an error, and takes its text's memory back in its post-return function.
(component
  (@custom "skewless.signature" "{\"abi\":1,\"name\":\"t\",\"inputs\":[{\"name\":\"a\",\"type\":\"float64\",\"nullable\":true},{\"name\":\"b\",\"type\":\"float64\",\"nullable\":true}],\"outputs\":[{\"name\":\"sum\",\"type\":\"float64\",\"nullable\":true}]}")
  (core module $m
    (memory (export "memory") 2)
    (global $top (mut i32) (i32.const 4096))
    (data (i32.const 2048) "not today")
    (func (export "realloc") (param i32 i32 i32) (param $len i32) (result i32)
      (local $at i32)
      (local.set $at (global.get $top))
      (global.set $top (i32.and (i32.add (i32.add (local.get $at) (local.get $len)) (i32.const 63)) (i32.const -64)))
      (if (i32.gt_u (global.get $top) (i32.mul (memory.size) (i32.const 65536))) (then
        (drop (memory.grow (i32.const 64)))))
      (local.get $at))
    (func (export "transform") (param $in i32) (param $len i32) (result i32)
      (i32.store (i32.const 16) (i32.const 1)) (i32.store (i32.const 20) (i32.const 2048)) (i32.store (i32.const 24) (i32.const 9)) (i32.const 16))
    (func (export "post_return") (param i32)
      (memory.fill (i32.const 0) (i32.const 0xff) (i32.const 4096))))
  (core instance $i (instantiate $m))
  (func (export "transform") (param "batch" (list u8)) (result (result (list u8) (error string)))
    (canon lift (core func $i "transform") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))
      (post-return (core func $i "post_return")))))
