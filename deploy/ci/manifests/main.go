// Reads Kubernetes manifests on standard input and checks each, strictly: an unknown or misspelt field, a value of the wrong type or
// a field given twice is an error. Kinds of the API itself are decoded into its own types; kinds of the CustomResourceDefinitions
// whose files are given as arguments are held against their schemas. What is neither is listed.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	sigsyaml "sigs.k8s.io/yaml"
)

// check returns what is wrong with a manifest.
type check func(document map[string]any) []error

func main() {
	custom := map[runtimeschema.GroupVersionKind]check{}
	for _, file := range os.Args[1:] {
		if err := addDefinition(custom, file); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", file, err)
			os.Exit(1)
		}
	}
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	reader := yaml.NewYAMLReader(bufio.NewReader(os.Stdin))
	failed := false
	report := func(problems ...error) {
		failed = failed || len(problems) > 0
		for _, problem := range problems {
			fmt.Fprintln(os.Stderr, problem)
		}
	}
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
		if err := sigsyaml.UnmarshalStrict(document, &found); err != nil {
			report(err)
			continue
		}
		if len(found) == 0 {
			continue
		}
		kind := (&unstructured.Unstructured{Object: found}).GroupVersionKind()
		_, _, err = decoder.Decode(document, nil, nil)
		switch {
		case err == nil:
			fmt.Println("valid", kind.Kind)
		case !runtime.IsNotRegisteredError(err):
			report(err)
		case custom[kind] == nil:
			fmt.Println("unknown", kind.Kind)
		default:
			if problems := custom[kind](found); len(problems) > 0 {
				report(problems...)
			} else {
				fmt.Println("valid", kind.Kind)
			}
		}
	}
	if failed {
		os.Exit(1)
	}
}

// addDefinition adds a check for every version of a CustomResourceDefinition: as the API server makes it, but that what it would
// silently drop is an error here.
func addDefinition(checks map[runtimeschema.GroupVersionKind]check, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var published apiextensionsv1.CustomResourceDefinition
	if err := sigsyaml.Unmarshal(text, &published); err != nil {
		return err
	}
	for _, version := range published.Spec.Versions {
		var whole apiextensions.CustomResourceValidation
		err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(version.Schema, &whole, nil)
		if err != nil {
			return err
		}
		structural, err := schema.NewStructural(whole.OpenAPIV3Schema)
		if err != nil {
			return err
		}
		validator, _, err := validation.NewSchemaValidator(whole.OpenAPIV3Schema)
		if err != nil {
			return err
		}
		kind := runtimeschema.GroupVersionKind{Group: published.Spec.Group, Version: version.Name, Kind: published.Spec.Names.Kind}
		checks[kind] = func(document map[string]any) []error {
			var problems []error
			for _, problem := range validation.ValidateCustomResource(nil, document, validator) {
				problems = append(problems, problem)
			}
			options := schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}
			for _, path := range pruning.PruneWithOptions(document, structural, true, options) {
				problems = append(problems, fmt.Errorf("%s: unknown field %q", kind.Kind, path))
			}
			return problems
		}
	}
	return nil
}
