// Reads Kubernetes manifests on standard input and decodes each into the API's own types, strictly: an unknown or misspelt
// field, a value of the wrong type or a field given twice is an error. Kinds that the API itself does not define (CustomResources) are listed.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
)

func main() {
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	reader := yaml.NewYAMLReader(bufio.NewReader(os.Stdin))
	failed := false
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		var found map[string]any
		if err := yaml.Unmarshal(document, &found); err != nil || len(found) == 0 {
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				failed = true
			}
			continue
		}
		_, kind, err := decoder.Decode(document, nil, nil)
		switch {
		case err == nil:
			fmt.Println("valid", kind.Kind)
		case runtime.IsNotRegisteredError(err):
			fmt.Println("unknown", found["kind"])
		default:
			fmt.Fprintln(os.Stderr, err)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}
