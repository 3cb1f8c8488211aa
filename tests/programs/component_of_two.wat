;; Well-behaved component of two: one passes the batch on to the other, which has a memory of its own and answers 42.
(component
  (@custom "skewless.signature" "{\"abi\":1,\"name\":\"t\",\"inputs\":[{\"name\":\"a\",\"type\":\"float64\",\"nullable\":true},{\"name\":\"b\",\"type\":\"float64\",\"nullable\":true}],\"outputs\":[{\"name\":\"sum\",\"type\":\"float64\",\"nullable\":true}]}")
  (component $answers
    (core module $m
      (memory (export "memory") 2)
      (global $top (mut i32) (i32.const 4096))
      (data (i32.const 1024) "SKWB\01\00\00\00\01\00\00\00\01\00\00\00\c0\00\00\00")
      (data (i32.const 1088) "\05")
      (data (i32.const 1120) "\80\00\00\00\08\00\00\00")
      (data (i32.const 1152) "\00\00\00\00\00\00\45\40")
      (func (export "realloc") (param i32 i32 i32) (param $len i32) (result i32)
        (local $at i32)
        (local.set $at (global.get $top))
        (global.set $top (i32.and (i32.add (i32.add (local.get $at) (local.get $len)) (i32.const 63)) (i32.const -64)))
        (if (i32.gt_u (global.get $top) (i32.mul (memory.size) (i32.const 65536))) (then
          (drop (memory.grow (i32.const 64)))))
        (local.get $at))
      (func (export "transform") (param $in i32) (param $len i32) (result i32)
        (i32.store (i32.const 16) (i32.const 0)) (i32.store (i32.const 20) (i32.const 1024)) (i32.store (i32.const 24) (i32.const 192)) (i32.const 16)))
    (core instance $i (instantiate $m))
    (func (export "transform") (param "batch" (list u8)) (result (result (list u8) (error string)))
      (canon lift (core func $i "transform") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
  (component $passes_on
    (import "transform" (func $other (param "batch" (list u8)) (result (result (list u8) (error string)))))
    (core module $memory
      (memory (export "memory") 2)
      (global $top (mut i32) (i32.const 4096))
      (func (export "realloc") (param i32 i32 i32) (param $len i32) (result i32)
        (local $at i32)
        (local.set $at (global.get $top))
        (global.set $top (i32.and (i32.add (i32.add (local.get $at) (local.get $len)) (i32.const 63)) (i32.const -64)))
        (if (i32.gt_u (global.get $top) (i32.mul (memory.size) (i32.const 65536))) (then
          (drop (memory.grow (i32.const 64)))))
        (local.get $at)))
    (core instance $memory (instantiate $memory))
    (core func $other (canon lower (func $other) (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
    (core module $m
      (import "other" "transform" (func $other (param i32 i32 i32)))
      (func (export "transform") (param $in i32) (param $len i32) (result i32)
        (call $other (local.get $in) (local.get $len) (i32.const 16))
        (i32.const 16)))
    (core instance $i (instantiate $m (with "other" (instance (export "transform" (func $other))))))
    (func (export "transform") (param "batch" (list u8)) (result (result (list u8) (error string)))
      (canon lift (core func $i "transform") (memory (core memory $memory "memory")) (realloc (core func $memory "realloc")))))
  (instance $one (instantiate $answers))
  (instance $two (instantiate $passes_on (with "transform" (func $one "transform"))))
  (export "transform" (func $two "transform")))
