//! Writes the ONNX graph of a BERT encoder from its safetensors weights.
//!
//! fastembed wants ONNX, the package registry has safetensors. The graph is the encoder of BERT
//! (Devlin et al. 2019, arXiv 1810.04805): post-norm, GELU, absolute positions; opset 20, standard
//! operators only. Positions are taken by `Shape(start=1,end=2)` and `Slice`, which ONNX Runtime's
//! fusion recognises. Inputs `input_ids`, `attention_mask`, `token_type_ids`, int64 of shape
//! `[batch, sequence]`; output `last_hidden_state`, f32 of shape `[batch, sequence, hidden]`.

use prost::Message as _;
use safetensors::SafeTensors;
use serde::Deserialize;

/// The part of a `config.json` that shapes the graph.
#[derive(Clone, Debug, Deserialize)]
pub struct BertConfig {
    hidden_size: i64,
    num_attention_heads: i64,
    num_hidden_layers: usize,
    layer_norm_eps: f32,
    hidden_act: String,
    model_type: String,
}

/// Why no graph could be written.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// The configuration does not parse.
    #[error("config.json cannot be read")]
    Config(#[from] serde_json::Error),
    /// The weights do not parse.
    #[error("the weights cannot be read")]
    Weights(#[from] safetensors::SafeTensorError),
    /// An architecture that this writer does not know.
    #[error("a {model_type} model with activation {hidden_act} is not a BERT encoder with GELU")]
    Architecture {
        /// `model_type` of the configuration.
        model_type: String,
        /// `hidden_act` of the configuration.
        hidden_act: String,
    },
    /// A tensor of another type than f32.
    #[error("the tensor {name} is not f32")]
    NotF32 {
        /// The tensor.
        name: String,
    },
}

/// The bytes of an ONNX model made of `config.json` and `model.safetensors`.
///
/// # Errors
/// [`GraphError`] when either cannot be read or is not a BERT encoder.
pub fn bert_onnx(config: &[u8], weights: &[u8]) -> Result<Vec<u8>, GraphError> {
    let config: BertConfig = serde_json::from_slice(config)?;
    if config.model_type != "bert" || config.hidden_act != "gelu" {
        return Err(GraphError::Architecture {
            model_type: config.model_type,
            hidden_act: config.hidden_act,
        });
    }
    let weights = SafeTensors::deserialize(weights)?;
    let mut graph = Writer {
        weights: &weights,
        graph: GraphProto {
            name: "bert".into(),
            ..GraphProto::default()
        },
    };
    let embedded = graph.embeddings(&config)?;
    let mask = graph.mask();
    let mut hidden = embedded;
    for layer in 0..config.num_hidden_layers {
        hidden = graph.layer(&config, layer, &hidden, &mask)?;
    }
    graph.node("Identity", &[&hidden], "last_hidden_state", vec![]);
    let inputs = ["input_ids", "attention_mask", "token_type_ids"];
    graph.graph.input = inputs
        .iter()
        .map(|name| value_info(name, INT64, &["batch", "sequence"], None))
        .collect();
    let hidden_size = Some(config.hidden_size);
    graph.graph.output = vec![value_info(
        "last_hidden_state",
        FLOAT,
        &["batch", "sequence"],
        hidden_size,
    )];
    let model = ModelProto {
        ir_version: 9,
        producer_name: "coho".into(),
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: 20,
        }],
        graph: Some(graph.graph),
    };
    Ok(model.encode_to_vec())
}

const FLOAT: i32 = 1;
const INT64: i32 = 7;

struct Writer<'a> {
    weights: &'a SafeTensors<'a>,
    graph: GraphProto,
}

impl Writer<'_> {
    fn embeddings(&mut self, config: &BertConfig) -> Result<String, GraphError> {
        let words = self.weight("embeddings.word_embeddings.weight")?;
        let types = self.weight("embeddings.token_type_embeddings.weight")?;
        let positions = self.weight("embeddings.position_embeddings.weight")?;
        let rows = self
            .weights
            .tensor("embeddings.position_embeddings.weight")?
            .shape()[0];
        let all: Vec<i64> = (0_i64..).take(rows).collect();
        let ids = self.integers("position_ids", &[1, rows], &all);
        let zero = self.integers("zero", &[1], &[0]);
        let one = self.integers("one", &[1], &[1]);
        let span = vec![int("start", 1), int("end", 2)];
        let length = self.node("Shape", &["input_ids"], "length", span);
        let ids = self.node("Slice", &[&ids, &zero, &length, &one], "positions", vec![]);
        let word = self.node("Gather", &[&words, "input_ids"], "word", vec![]);
        let kind = self.node("Gather", &[&types, "token_type_ids"], "type", vec![]);
        let place = self.node("Gather", &[&positions, &ids], "place", vec![]);
        let sum = self.node("Add", &[&word, &place], "word_place", vec![]);
        let sum = self.node("Add", &[&sum, &kind], "word_place_type", vec![]);
        self.layer_norm(config, "embeddings.LayerNorm", &sum, "embedded")
    }

    /// 0 where a token is, a very large negative number where padding is.
    fn mask(&mut self) -> String {
        let axes = self.integers("mask_axes", &[2], &[1, 2]);
        let one = self.float("mask_one", 1.0);
        let far = self.float("mask_far", -10_000.0);
        let wide = self.node("Unsqueeze", &["attention_mask", &axes], "mask_wide", vec![]);
        let to = vec![int("to", i64::from(FLOAT))];
        let float = self.node("Cast", &[&wide], "mask_float", to);
        let turned = self.node("Sub", &[&one, &float], "mask_turned", vec![]);
        self.node("Mul", &[&turned, &far], "mask", vec![])
    }

    fn layer(
        &mut self,
        config: &BertConfig,
        number: usize,
        input: &str,
        mask: &str,
    ) -> Result<String, GraphError> {
        let at = format!("encoder.layer.{number}");
        let name = |part: &str| format!("layer_{number}_{part}");
        let heads = config.num_attention_heads;
        let width = config.hidden_size / heads;
        let split = self.integers(&name("split"), &[4], &[0, 0, heads, width]);
        let join = self.integers(&name("join"), &[3], &[0, 0, config.hidden_size]);
        #[expect(clippy::cast_precision_loss, reason = "a head is a few dozen wide")]
        let scale = self.float(&name("scale"), (width as f32).sqrt());
        let part = |writer: &mut Self, part: &str, order: &[i64]| -> Result<String, GraphError> {
            let dense = format!("{at}.attention.self.{part}");
            let flat = writer.dense(&dense, input, &name(part))?;
            let cut = writer.node(
                "Reshape",
                &[&flat, &split],
                &name(&format!("{part}_heads")),
                vec![],
            );
            let order = vec![ints("perm", order)];
            Ok(writer.node(
                "Transpose",
                &[&cut],
                &name(&format!("{part}_turned")),
                order,
            ))
        };
        let query = part(self, "query", &[0, 2, 1, 3])?;
        let key = part(self, "key", &[0, 2, 3, 1])?;
        let value = part(self, "value", &[0, 2, 1, 3])?;
        let raw = self.node("MatMul", &[&query, &key], &name("raw"), vec![]);
        let scaled = self.node("Div", &[&raw, &scale], &name("scaled"), vec![]);
        let masked = self.node("Add", &[&scaled, mask], &name("masked"), vec![]);
        let axis = vec![int("axis", -1)];
        let weights = self.node("Softmax", &[&masked], &name("attention"), axis);
        let mixed = self.node("MatMul", &[&weights, &value], &name("mixed"), vec![]);
        let order = vec![ints("perm", &[0, 2, 1, 3])];
        let turned = self.node("Transpose", &[&mixed], &name("mixed_turned"), order);
        let joined = self.node("Reshape", &[&turned, &join], &name("joined"), vec![]);
        let output = format!("{at}.attention.output");
        let projected = self.dense(&format!("{output}.dense"), &joined, &name("projected"))?;
        let sum = self.node("Add", &[&projected, input], &name("attended_sum"), vec![]);
        let norm = format!("{output}.LayerNorm");
        let attended = self.layer_norm(config, &norm, &sum, &name("attended"))?;
        let inner = format!("{at}.intermediate.dense");
        let wide = self.dense(&inner, &attended, &name("wide"))?;
        let bent = self.node("Gelu", &[&wide], &name("bent"), vec![]);
        let narrow = self.dense(&format!("{at}.output.dense"), &bent, &name("narrow"))?;
        let sum = self.node("Add", &[&narrow, &attended], &name("sum"), vec![]);
        self.layer_norm(
            config,
            &format!("{at}.output.LayerNorm"),
            &sum,
            &name("out"),
        )
    }

    fn dense(&mut self, at: &str, input: &str, output: &str) -> Result<String, GraphError> {
        let weight = self.transposed(&format!("{at}.weight"))?;
        let bias = self.weight(&format!("{at}.bias"))?;
        let product = self.node(
            "MatMul",
            &[input, &weight],
            &format!("{output}_product"),
            vec![],
        );
        Ok(self.node("Add", &[&product, &bias], output, vec![]))
    }

    fn layer_norm(
        &mut self,
        config: &BertConfig,
        at: &str,
        input: &str,
        output: &str,
    ) -> Result<String, GraphError> {
        let gain = self.weight(&format!("{at}.weight"))?;
        let bias = self.weight(&format!("{at}.bias"))?;
        let how = vec![int("axis", -1), float("epsilon", config.layer_norm_eps)];
        Ok(self.node("LayerNormalization", &[input, &gain, &bias], output, how))
    }

    fn weight(&mut self, name: &str) -> Result<String, GraphError> {
        let tensor = self.f32_tensor(name)?;
        let (shape, data) = (tensor.shape().to_vec(), tensor.data().to_vec());
        Ok(self.initializer(name, &shape, FLOAT, data))
    }

    /// Linear layers are stored `[out, in]`; `MatMul` wants `[in, out]`.
    fn transposed(&mut self, name: &str) -> Result<String, GraphError> {
        let tensor = self.f32_tensor(name)?;
        let (rows, columns) = (tensor.shape()[0], tensor.shape()[1]);
        let data = tensor.data();
        let mut turned = Vec::with_capacity(data.len());
        for column in 0..columns {
            for row in 0..rows {
                let at = 4 * (row * columns + column);
                turned.extend_from_slice(&data[at..at + 4]);
            }
        }
        Ok(self.initializer(name, &[columns, rows], FLOAT, turned))
    }

    fn f32_tensor(&self, name: &str) -> Result<safetensors::tensor::TensorView<'_>, GraphError> {
        let tensor = self.weights.tensor(name)?;
        if tensor.dtype() == safetensors::Dtype::F32 {
            Ok(tensor)
        } else {
            Err(GraphError::NotF32 { name: name.into() })
        }
    }

    fn integers(&mut self, name: &str, shape: &[usize], values: &[i64]) -> String {
        let data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.initializer(name, shape, INT64, data)
    }

    fn float(&mut self, name: &str, value: f32) -> String {
        self.initializer(name, &[], FLOAT, value.to_le_bytes().to_vec())
    }

    fn initializer(&mut self, name: &str, shape: &[usize], kind: i32, data: Vec<u8>) -> String {
        let dims = shape
            .iter()
            .map(|d| i64::try_from(*d).unwrap_or(i64::MAX))
            .collect();
        self.graph.initializer.push(TensorProto {
            dims,
            data_type: kind,
            name: name.to_owned(),
            raw_data: data,
        });
        name.to_owned()
    }

    fn node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        output: &str,
        attribute: Vec<AttributeProto>,
    ) -> String {
        self.graph.node.push(NodeProto {
            input: inputs.iter().map(ToString::to_string).collect(),
            output: vec![output.to_owned()],
            name: format!("{operator}_{output}"),
            op_type: operator.to_owned(),
            attribute,
        });
        output.to_owned()
    }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        i: Some(value),
        kind: 2,
        ..AttributeProto::default()
    }
}

fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        f: Some(value),
        kind: 1,
        ..AttributeProto::default()
    }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        ints: values.to_vec(),
        kind: 7,
        ..AttributeProto::default()
    }
}

fn value_info(name: &str, kind: i32, free: &[&str], last: Option<i64>) -> ValueInfoProto {
    let free = free.iter().map(|name| Dimension {
        value: Some(DimensionValue::Param(name.to_string())),
    });
    let fixed = last.map(|size| Dimension {
        value: Some(DimensionValue::Size(size)),
    });
    ValueInfoProto {
        name: name.into(),
        kind: Some(TypeProto {
            tensor: Some(TensorType {
                elem_type: kind,
                shape: Some(TensorShape {
                    dim: free.chain(fixed).collect(),
                }),
            }),
        }),
    }
}

// The messages of onnx.proto3 that a graph needs, with its field numbers.

#[derive(Clone, PartialEq, prost::Message)]
struct ModelProto {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(string, tag = "2")]
    producer_name: String,
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OperatorSetIdProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct OperatorSetIdProto {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeProto>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfoProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<AttributeProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AttributeProto {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(float, optional, tag = "2")]
    f: Option<f32>,
    #[prost(int64, optional, tag = "3")]
    i: Option<i64>,
    #[prost(int64, repeated, tag = "8")]
    ints: Vec<i64>,
    #[prost(int32, tag = "20")]
    kind: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ValueInfoProto {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    kind: Option<TypeProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TypeProto {
    #[prost(message, optional, tag = "1")]
    tensor: Option<TensorType>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TensorType {
    #[prost(int32, tag = "1")]
    elem_type: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<TensorShape>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TensorShape {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Dimension {
    #[prost(oneof = "DimensionValue", tags = "1, 2")]
    value: Option<DimensionValue>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum DimensionValue {
    #[prost(int64, tag = "1")]
    Size(i64),
    #[prost(string, tag = "2")]
    Param(String),
}
