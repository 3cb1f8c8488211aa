;; Fails single rows by the contract's own means: an error column with a text for every row whose
;; first input is negative. Ignores nulls.
(module
  (@custom "skewless.signature" "{\"abi\":1,\"name\":\"t\",\"inputs\":[{\"name\":\"a\",\"type\":\"float64\",\"nullable\":true},{\"name\":\"b\",\"type\":\"float64\",\"nullable\":true}],\"outputs\":[{\"name\":\"sum\",\"type\":\"float64\",\"nullable\":true}]}")
  (memory (export "memory") 4)
  (func (export "skewless_reserve") (param i32) (result i32) (i32.const 4096))
  (func $up (param i32) (result i32) (i32.and (i32.add (local.get 0) (i32.const 63)) (i32.const -64)))
  (func (export "skewless_transform") (param $in i32) (param $len i32) (result i64)
    (local $n i32) (local $i i32) (local $a i32) (local $b i32) (local $out i32) (local $errors i32)
    (local $validity i32) (local $offsets i32) (local $text i32) (local $total i32)
    (local.set $n (i32.load offset=8 (local.get $in)))
    (local.set $a (i32.add (local.get $in) (i32.load offset=96 (local.get $in))))
    (local.set $b (i32.add (local.get $in) (i32.load offset=144 (local.get $in))))
    (local.set $out (i32.add (local.get $in) (local.get $len)))
    (local.set $validity (i32.add (call $up (i32.add (i32.const 192) (i32.shl (local.get $n) (i32.const 3)))) (i32.const 64)))
    (local.set $offsets (call $up (i32.add (local.get $validity) (i32.shr_u (i32.add (local.get $n) (i32.const 7)) (i32.const 3)))))
    (local.set $text (call $up (i32.add (local.get $offsets) (i32.shl (i32.add (local.get $n) (i32.const 1)) (i32.const 2)))))
    (memory.fill (local.get $out) (i32.const 0) (i32.add (local.get $text) (i32.shl (local.get $n) (i32.const 3))))
    (i64.store (local.get $out) (i64.const 0x142574b53)) ;; SKWB, version 1
    (i32.store offset=8 (local.get $out) (local.get $n))
    (i32.store offset=12 (local.get $out) (i32.const 2))
    (i32.store offset=64 (local.get $out) (i32.const 5)) ;; float64
    (i32.store offset=96 (local.get $out) (i32.const 192))
    (i32.store offset=100 (local.get $out) (i32.shl (local.get $n) (i32.const 3)))
    (i32.store offset=112 (local.get $out) (i32.const 0x106)) ;; utf8 with validity
    (i32.store offset=120 (local.get $out) (local.get $validity))
    (i32.store offset=124 (local.get $out) (i32.shr_u (i32.add (local.get $n) (i32.const 7)) (i32.const 3)))
    (i32.store offset=128 (local.get $out) (local.get $offsets))
    (i32.store offset=132 (local.get $out) (i32.shl (i32.add (local.get $n) (i32.const 1)) (i32.const 2)))
    (if (i32.eqz (local.get $n)) ;; buffers of nothing are nowhere
      (then (i32.store offset=96 (local.get $out) (i32.const 0)) (i32.store offset=120 (local.get $out) (i32.const 0))))
    (block $none (br_if $none (i32.eqz (local.get $n))) (loop $row
      (f64.store offset=192 (i32.add (local.get $out) (i32.shl (local.get $i) (i32.const 3)))
        (f64.add (f64.load (i32.add (local.get $a) (i32.shl (local.get $i) (i32.const 3))))
                 (f64.load (i32.add (local.get $b) (i32.shl (local.get $i) (i32.const 3))))))
      (if (f64.lt (f64.load (i32.add (local.get $a) (i32.shl (local.get $i) (i32.const 3)))) (f64.const 0))
        (then
          (i64.store (i32.add (i32.add (local.get $out) (local.get $text)) (i32.shl (local.get $errors) (i32.const 3)))
            (i64.const 0x657669746167656e)) ;; "negative"
          (i32.store8 (i32.add (i32.add (local.get $out) (local.get $validity)) (i32.shr_u (local.get $i) (i32.const 3)))
            (i32.or
              (i32.load8_u (i32.add (i32.add (local.get $out) (local.get $validity)) (i32.shr_u (local.get $i) (i32.const 3))))
              (i32.shl (i32.const 1) (i32.and (local.get $i) (i32.const 7)))))
          (local.set $errors (i32.add (local.get $errors) (i32.const 1)))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (i32.store (i32.add (i32.add (local.get $out) (local.get $offsets)) (i32.shl (local.get $i) (i32.const 2)))
        (i32.shl (local.get $errors) (i32.const 3)))
      (br_if $row (i32.lt_u (local.get $i) (local.get $n)))))
    (if (local.get $errors) (then
      (i32.store offset=144 (local.get $out) (local.get $text))
      (i32.store offset=148 (local.get $out) (i32.shl (local.get $errors) (i32.const 3)))))
    (i32.store offset=152 (local.get $out) (i32.sub (local.get $n) (local.get $errors)))
    ;; Without errors the text takes no place: the batch ends behind the offsets.
    (local.set $total (call $up (i32.add (local.get $text) (i32.shl (local.get $errors) (i32.const 3)))))
    (i32.store offset=16 (local.get $out) (local.get $total))
    (i64.or (i64.shl (i64.extend_i32_u (local.get $out)) (i64.const 32)) (i64.extend_i32_u (local.get $total)))))
